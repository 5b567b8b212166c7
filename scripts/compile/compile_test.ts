/** Which packages an executable contains, and its bill of materials. */
import assert from "node:assert/strict";
import { type PackageGraph, reachable } from "./packages.ts";
import { hexOf, sbom } from "./sbom.ts";

const SHA512 = "00ff".repeat(32);
const registryUrl = "https://registry.npmjs.org/";
const NPM_PACKAGES = {
  "a@1.0.0": { name: "a", version: "1.0.0", dependencies: ["@s/b@2.0.0"], registryUrl },
  "@s/b@2.0.0": { name: "@s/b", version: "2.0.0", dependencies: ["a@1.0.0"], registryUrl },
  "@types/a@1.0.0": { name: "@types/a", version: "1.0.0", dependencies: [], registryUrl },
  "for-tests@1.0.0": { name: "for-tests", version: "1.0.0", dependencies: [], registryUrl },
};
const GRAPH = reachable({
  redirects: { "npm:a@^1": "npm:/a@1.0.0" },
  modules: [
    { specifier: "npm:/a@1.0.0", npmPackage: "a@1.0.0" },
    { specifier: "npm:/@types/a@1.0.0", npmPackage: "@types/a@1.0.0" },
    { specifier: "file:///main.ts", dependencies: [{ code: { specifier: "npm:a@^1" } }, { code: {} }, {}] },
  ],
  npmPackages: NPM_PACKAGES,
});

Deno.test("reachable() returns the imported packages with their dependencies, but no packages of types", () => {
  assert.deepEqual([...GRAPH.keys()], ["@s/b@2.0.0", "a@1.0.0"]);
});

Deno.test("sbom() contains the program, the runtime, the packages and their dependencies", () => {
  const bom = materials(GRAPH);
  assert.deepEqual([bom.bomFormat, bom.specVersion, bom.metadata.component.version], ["CycloneDX", "1.6", "1.2.3"]);
  assert.deepEqual(bom.components.map(({ purl }) => purl), [
    "pkg:github/denoland/deno@v2.7.11",
    "pkg:npm/%40s/b@2.0.0",
    "pkg:npm/a@1.0.0",
  ]);
  assert.deepEqual(bom.components[2], {
    type: "library",
    "bom-ref": "npm:a@1.0.0",
    name: "a",
    version: "1.0.0",
    purl: "pkg:npm/a@1.0.0",
    hashes: [{ alg: "SHA-512", content: SHA512 }],
  });
  const refs = new Set([bom.metadata.component["bom-ref"], ...bom.components.map((component) => component["bom-ref"])]);
  assert.equal(refs.size, 4);
  for (const { ref, dependsOn } of bom.dependencies) {
    if (ref !== bom.components[0]!["bom-ref"]) assert.ok(refs.has(ref));
    for (const other of dependsOn ?? []) assert.ok(refs.has(other), other);
  }
});

Deno.test("hexOf() converts a SHA-512 of a lock file, and no other hash", () => {
  assert.equal(hexOf("sha512-AP8="), "00ff");
  assert.equal(hexOf("sha1-AP8="), undefined);
});

function materials(packages: PackageGraph): Materials {
  const text = sbom({
    name: "notification-service",
    version: "1.2.3",
    commit: "abc",
    licence: "MIT",
    deno: "2.7.11",
    packages,
    integrity: () => SHA512,
  });
  return JSON.parse(text);
}

interface Component {
  readonly "bom-ref": string;
  readonly purl: string;
  readonly version: string;
}

interface Materials {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}
