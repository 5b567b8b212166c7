/**
 * The bill of materials of the executable, with its real packages, is valid for the official JSON Schema of CycloneDX
 * 1.6, which is part of the CycloneDX project's library.
 */
import assert from "node:assert/strict";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { outputOf } from "../command_output.ts";
import library from "@cyclonedx/cyclonedx-library/package.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);
/** Runs with the service's dependencies, which the configuration of this folder does not have. */
const MATERIALS = `
  import { materials } from "./scripts/compile.ts";
  import { reachablePackages } from "./scripts/compile/packages.ts";
  console.log(await materials("abc", await reachablePackages("main.ts")));
`;

Deno.test("the executable's bill of materials is CycloneDX by the official schema", async () => {
  const bom = JSON.parse(await outputOf(Deno.execPath(), ["eval", MATERIALS], { cwd: ROOT }));
  const problemsOf = await validator(bom.specVersion);
  assert.ok(bom.components.length > 50);
  assert.deepEqual(problemsOf(bom), []);
  // The schema detects an error.
  const [first, ...rest] = bom.components;
  assert.notDeepEqual(problemsOf({ ...bom, components: [{ ...first, type: "thing" }, ...rest] }), []);
  assert.notDeepEqual(problemsOf({ ...bom, comment: "a member that there isn't" }), []);
  const licences = [{ license: { id: "My own" } }];
  assert.notDeepEqual(problemsOf({ ...bom, components: [{ ...first, licenses: licences }, ...rest] }), []);
});

async function validator(version: string): Promise<(bom: unknown) => unknown[]> {
  const folder = await schemaFolder();
  const schema = async (name: string) => JSON.parse(await Deno.readTextFile(`${folder}/${name}.SNAPSHOT.schema.json`));
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  for (const name of ["jsf-0.82", "spdx", "cryptography-defs"]) {
    ajv.addSchema(await schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  }
  // Internationalised formats, which ajv-formats does not support; the URLs and addresses here do not need them.
  for (const format of ["iri-reference", "idn-email"]) ajv.addFormat(format, true);
  const validate = ajv.compile(await schema(`bom-${version}`));
  return (bom) => validate(bom) ? [] : validate.errors ?? [];
}

/** The library exports only code; its files are in Deno's cache. */
async function schemaFolder(): Promise<string> {
  const { npmCache } = JSON.parse(await outputOf(Deno.execPath(), ["info", "--json"], { cwd: ROOT }));
  return `${npmCache}/registry.npmjs.org/${library.name}/${library.version}/res/schema`;
}
