/**
 * The packages in an executable → its bill of materials, as CycloneDX 1.6 in JSON, made with the CycloneDX project's
 * library. Pure; the same input gives the same text.
 */
import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import type { PackageGraph } from "./packages.ts";

export interface Program {
  readonly name: string;
  readonly version: string;
  readonly commit: string;
  readonly licence: string;
  /** The version of Deno, whose runtime the executable contains. */
  readonly deno: string;
  readonly packages: PackageGraph;
  /** Returns the SHA-512 of a package, by its id, in hexadecimal (the lock file has base64). */
  readonly integrity: (id: string) => string | undefined;
}

export function sbom({ name, version, commit, licence, deno, packages, integrity }: Program): string {
  const self = new Models.Component(Enums.ComponentType.Application, name, {
    bomRef: `pkg:generic/${name}@${version}`,
    version,
    licenses: new Models.LicenseRepository([new Models.SpdxLicense(licence)]),
    properties: new Models.PropertyRepository([new Models.Property("commit", commit)]),
  });
  const purl = `pkg:github/denoland/deno@v${deno}`;
  const runtime = new Models.Component(Enums.ComponentType.Platform, "deno", { bomRef: purl, version: deno, purl });
  const components = new Map([...packages].map(([id, { name, version }]) => {
    const sha512 = integrity(id);
    const hashes = new Models.HashDictionary(sha512 === undefined ? [] : [[Enums.HashAlgorithm["SHA-512"], sha512]]);
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    // Two copies of a package with different peer dependencies are two components.
    const bomRef = `npm:${id}`;
    return [id, new Models.Component(Enums.ComponentType.Library, name, { bomRef, version, purl, hashes })];
  }));
  const roots = new Set(packages.keys());
  for (const [id, { dependencies }] of packages) {
    for (const other of dependencies) {
      components.get(id)!.dependencies.add(components.get(other)!.bomRef);
      roots.delete(other);
    }
  }
  for (const component of [runtime, ...[...roots].map((id) => components.get(id)!)]) {
    self.dependencies.add(component.bomRef);
  }
  const bom = new Models.Bom({
    metadata: new Models.Metadata({ component: self }),
    components: new Models.ComponentRepository([runtime, ...components.values()]),
  });
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return serializer.serialize(bom, { space: 2 });
}

/** Converts the `sha512-…` of an npm lock file. */
export function hexOf(integrity: string): string | undefined {
  const base64 = /^sha512-([A-Za-z0-9+/]+=*)$/.exec(integrity)?.[1];
  return base64 === undefined ? undefined : Uint8Array.fromBase64(base64).toHex();
}
