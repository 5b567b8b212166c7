/** The packages in an executable → its bill of materials, CycloneDX 1.6 in JSON. Pure; the same input gives the same text. */
import type { PackageGraph } from "./packages.ts";

export interface Program {
  readonly name: string;
  readonly version: string;
  readonly commit: string;
  readonly licence: string;
  /** Deno's version: the runtime inside. */
  readonly deno: string;
  readonly packages: PackageGraph;
  /** By package id, in hexadecimal where the lock file has SHA-512 in base64. */
  readonly integrity: (id: string) => string | undefined;
}

/** https://cyclonedx.org/docs/1.6/json/ */
export function sbom({ name, version, commit, licence, deno, packages, integrity }: Program) {
  const self = `pkg:generic/${name}@${version}`;
  const runtime = `pkg:github/denoland/deno@v${deno}`;
  const components = [...packages].map(([id, { name, version }]) => {
    const sha512 = integrity(id);
    return {
      type: "library",
      "bom-ref": refOf(id),
      name,
      version,
      purl: purlOf(name, version),
      ...(sha512 === undefined ? {} : { hashes: [{ alg: "SHA-512", content: sha512 }] }),
    };
  });
  const roots = new Set([...packages.keys()]);
  for (const { dependencies } of packages.values()) for (const id of dependencies) roots.delete(id);
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": self,
        name,
        version,
        licenses: [{ license: { id: licence } }],
        properties: [{ name: "commit", value: commit }],
      },
    },
    components: [
      { type: "platform", "bom-ref": runtime, name: "deno", version: deno, purl: runtime },
      ...components,
    ],
    dependencies: [
      { ref: self, dependsOn: [runtime, ...[...roots].map(refOf)] },
      ...[...packages].map(([id, { dependencies }]) => ({ ref: refOf(id), dependsOn: dependencies.map(refOf) })),
    ],
  };
}

/** Two copies of a package that were resolved beside different peers are two components. */
function refOf(id: string): string {
  return `npm:${id}`;
}

function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** Of an npm lock's `sha512-…`. */
export function hexOf(integrity: string): string | undefined {
  const base64 = /^sha512-([A-Za-z0-9+/]+=*)$/.exec(integrity)?.[1];
  return base64 === undefined ? undefined : Uint8Array.fromBase64(base64).toHex();
}
