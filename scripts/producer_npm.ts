/**
 * The producer module → dist/producer/, an npm package with the module's name: one JavaScript file for Node 20.12 or
 * newer, its types, and as dependencies the libraries that check the catalog and payloads. It is not sent to npm.
 *
 * Run it with `deno task producer:npm`; it needs Deno 2.9 (`deno bundle --declaration`).
 */
import denoJson from "../deno.json" with { type: "json" };
import { MALFORMED_CODES } from "../src/notification/intent.ts";

const ROOT = new URL("../", import.meta.url);
const MODULE = "src/producer/producer.ts";

/** The npm packages that the module imports. */
export const DEPENDENCIES = ["@eslint-community/regexpp", "ajv"] as const;

/** @param folder an absolute path; the folder is created if it does not exist */
export async function writePackage(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--format", "esm", "--declaration"],
      ...DEPENDENCIES.flatMap((name) => ["--external", name, "--external", `${name}/*`]),
      ...["--output", `${folder}/producer.js`, MODULE],
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw new Error(`deno bundle failed: ${new TextDecoder().decode(stderr)}`);
  const types = `${folder}/producer.d.ts`;
  await Deno.writeTextFile(types, withoutImports(await Deno.readTextFile(types)));
  await Deno.writeTextFile(`${folder}/package.json`, `${JSON.stringify(packageJson(), null, 2)}\n`);
  await Deno.copyFile(new URL("LICENSE", ROOT), `${folder}/LICENSE`);
}

/** Removes the imports of types from other folders, which `deno bundle` keeps even if no declaration uses them. */
function withoutImports(declarations: string): string {
  const codes = MALFORMED_CODES.map((code) => JSON.stringify(code)).join(" | ");
  return `${declarations.replace(/^import .* from "\.\.\/.*;$/gm, "")}\nexport type MalformedCode = ${codes};\n`;
}

function packageJson(): Readonly<Record<string, unknown>> {
  const { name, version, license, imports } = denoJson;
  return {
    name,
    version,
    license,
    description: "Typed intents for the Notification Service: encodeIntent() and publishIntent()",
    type: "module",
    exports: { "./producer": { types: "./producer.d.ts", default: "./producer.js" } },
    files: ["producer.js", "producer.d.ts"],
    engines: { node: ">=20.12" },
    dependencies: Object.fromEntries(DEPENDENCIES.map((name) => [name, imports[name].replace(`npm:${name}@`, "")])),
  };
}

if (import.meta.main) {
  const folder = new URL("dist/producer", ROOT).pathname;
  await writePackage(folder);
  console.log(`${folder}: try it with npm pack, send it with npm publish`);
}
