/**
 * main.ts and the source under src/ (of another project, if its folder is given) → one line `file:line: message` for
 * every import that violates the layers, every read of the environment outside main.ts and src/config, and every use of
 * time without the clock; exit code 1 if there is one.
 *
 * src/notification imports no other folder, stages do not import each other, support folders import no stage, and the
 * producer module, which other projects install, imports only src/notification.
 */
import { type Breach, checkClock } from "./check_clock.ts";
import { importsOf, sourceFiles, targetOf } from "./imports.ts";

const SUPPORT = [
  "backlog",
  "clock.ts",
  "config",
  "lifecycle",
  "postgres",
  "probe",
  "redis",
  "stream_offset",
  "telemetry",
  "user_service",
];
/** Stages share only src/relay. */
const STAGES = ["intake", "publish", "retention", "repair"];

/** What a folder or file of src/ may import in addition to itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  notification: [],
  producer: ["notification"],
  ...Object.fromEntries(SUPPORT.map((layer) => [layer, ["notification", ...SUPPORT]])),
  relay: ["notification", "clock.ts"],
  ...Object.fromEntries(STAGES.map((layer) => [layer, ["notification", "relay", ...SUPPORT]])),
  "service.ts": ["notification", "relay", "loops.ts", ...SUPPORT, ...STAGES],
  "loops.ts": ["notification", "relay", ...SUPPORT, ...STAGES],
  commands: ["notification", "producer", "relay", "service.ts", ...SUPPORT, ...STAGES],
};

/** Packages that a layer may import; the other layers may import all of them. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  notification: /^(ajv\/|@eslint-community\/regexpp$|node:)/,
  producer: /^$/,
};

if (import.meta.main) {
  const root = Deno.args[0] === undefined ? new URL("../", import.meta.url) : new URL(`file://${Deno.args[0]}/`);
  let breaches = 0;
  for (const file of ["main.ts", ...sourceFiles(root, "src")].sort()) {
    for (const { line, message } of checkFile(file, Deno.readTextFileSync(new URL(file, root)))) {
      console.error(`${file}:${line}: ${message}`);
      breaches++;
    }
  }
  if (breaches > 0) Deno.exit(1);
}

/** `file` is relative to the project, e.g. `src/intake/accept.ts`. */
export function checkFile(file: string, source: string): Breach[] {
  const breaches = checkClock(file, source);
  for (const { line, specifier } of importsOf(source)) {
    const message = checkImport(file, specifier);
    if (message !== undefined) breaches.push({ line, message });
  }
  if (mayReadEnvironment(file)) return breaches;
  source.split("\n").forEach((text, index) => {
    const found = /\b(Deno|process)\.env\b/.exec(text.replace(/^\s*(\/\/|\*|\/\*).*/, ""));
    if (found !== null) breaches.push({ line: index + 1, message: `${found[0]} outside src/config and main.ts` });
  });
  return breaches;
}

function checkImport(file: string, specifier: string): string | undefined {
  const from = layerOf(file);
  if (from === "") return undefined;
  const isTest = file.endsWith("_test.ts");
  const target = targetOf(file, specifier);
  if (target === undefined) {
    const isAllowed = isTest || (PACKAGES[from]?.test(specifier) ?? true);
    return isAllowed ? undefined : `src/${from} may not import ${specifier}`;
  }
  const to = layerOf(target);
  if (to === "" && /^(scripts|tests)\//.test(target)) return isTest ? undefined : `src may not import ${target}`;
  if (to === "" || from === to) return undefined;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return `src/${from} is no known layer: add it to MAY_IMPORT in scripts/check_layers.ts`;
  return allowed.includes(to) ? undefined : `src/${from} may not import ${target}${reasonAgainst(from, to)}`;
}

function reasonAgainst(from: string, to: string): string {
  const isStage = (layer: string) => STAGES.includes(layer);
  if (isStage(from) && isStage(to)) return ": stages do not import each other";
  if (SUPPORT.includes(from) && (isStage(to) || to === "relay")) return ": support folders import no stage";
  return "";
}

/** The folder or file under src/ of a path; for a test, that of the tested file; empty for files elsewhere. */
function layerOf(file: string): string {
  const [top, layer = ""] = file.split("/");
  return top === "src" ? layer.replace(/_test\.ts$/, ".ts") : "";
}

function mayReadEnvironment(file: string): boolean {
  return file === "main.ts" || file.startsWith("src/config/") || file.endsWith("_test.ts");
}
