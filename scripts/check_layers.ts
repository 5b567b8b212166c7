// In: main.ts and the source under src/ (of another project, if its folder is given). Out: one line `file:line: what is
// wrong` for every import that goes against the layers, every look at the environment outside its place and every use of
// time past the clock; exit code 1 when there is one.
// Guaranteed: the nouns (src/notification) stand alone, stages do not know each other, support folders know no stage, and
// the producer module, which others install, brings nothing but the nouns.

import { checkClock } from "./check_clock.ts";

const STAGES = ["intake", "publish", "retention"] as const;
const SUPPORT = ["config", "postgres", "redis", "telemetry", "lifecycle", "user_service", "probe", "clock.ts"] as const;

export interface Breach {
  readonly line: number;
  readonly message: string;
}

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
  const isLocal = specifier.startsWith(".");
  if (!isLocal) {
    const allowed = specifier === "zod" || specifier.startsWith("node:") || file.endsWith("_test.ts");
    if (from === "producer" && !file.endsWith("_test.ts")) return `src/producer may not import ${specifier}`;
    return from === "notification" && !allowed ? `src/notification may not import ${specifier}` : undefined;
  }
  const target = new URL(specifier, `file:///${file}`).pathname.slice(1);
  const to = layerOf(target);
  if (from === "notification" && to !== "notification") return `src/notification may not import ${target}`;
  if (from === "producer" && to !== "producer" && to !== "notification") {
    return `src/producer may import src/notification alone, not ${target}`;
  }
  if (from === to || !isOneOf(STAGES, to)) return undefined;
  if (isOneOf(STAGES, from)) return `The stage src/${from} may not import the stage src/${to} (${target})`;
  if (isOneOf(SUPPORT, from)) return `src/${from} supports the stages and may not import src/${to} (${target})`;
  return undefined;
}

/** The folder or file under src/; empty for what is elsewhere. */
function layerOf(file: string): string {
  const [top, layer = ""] = file.split("/");
  return top === "src" ? layer : "";
}

function mayReadEnvironment(file: string): boolean {
  return file === "main.ts" || file.startsWith("src/config/") || file.endsWith("_test.ts");
}

/** Static and dynamic imports and re-exports, types included, wherever the statement's lines are broken. */
function* importsOf(source: string): Generator<{ line: number; specifier: string }> {
  const statement =
    /^\s*(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  for (const match of source.matchAll(statement)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? "";
    yield { line: source.slice(0, match.index + match[0].length).split("\n").length, specifier };
  }
}

function isOneOf(list: readonly string[], name: string): boolean {
  return list.includes(name);
}

function* sourceFiles(root: URL, folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder, root))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* sourceFiles(root, path);
    else if (path.endsWith(".ts")) yield path;
  }
}
