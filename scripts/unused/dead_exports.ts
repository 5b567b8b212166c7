/**
 * The files of the project → the exports and files that knip finds unused.
 *
 * Every export, including types, must be used by another file. Every file and export of src/ must be used by the
 * program or a script; an export that a test uses may instead be used by its own file. The exports of the producer
 * module count as used.
 *
 * knip has an option for exports that their own file uses, but it counts every equal name as a use. So this is checked
 * with TypeScript.
 */
import { createOptions, createSession } from "knip/session";
import ts from "typescript";
import { type Compiled, eachNode, pathOf } from "./compile.ts";
import { type Breach, isTestCode, type Project } from "./project.ts";

/** Files that are run or installed, in addition to the tests and the scripts with `import.meta.main`. */
const ENTRIES = [
  /^main\.ts$/,
  /^src\/producer\/producer\.ts$/,
  // Processes and workers that the benchmark starts by name.
  /^scripts\/bench\/(floor|otlp_sink|producer_worker|user_service|peers\/[a-z_]+)\.ts$/,
];
const ISSUES = ["files", "exports", "types", "nsExports", "nsTypes", "enumMembers", "namespaceMembers"] as const;

export async function checkDeadExports(project: Project, compiled: Compiled): Promise<Breach[]> {
  const copy = await Deno.makeTempDir({ prefix: "unused-" });
  try {
    await writeCopy(copy, project);
    const all = await runKnip(copy, "all");
    const program = await runKnip(copy, "program");
    const isOnlyTested = (unused: Unused) =>
      unused.file.startsWith("src/") && !isUsedByOwnFile(unused, compiled) &&
      !all.some(({ file, name }) => file === unused.file && name === unused.name);
    return [
      ...all.map(({ file, line, name }) => {
        const message = name === undefined
          ? "Nothing imports or runs this file"
          : `No other file uses the export ${name}`;
        return { file, line, message };
      }),
      // Scripts may have parts that only tests use, such as the servers that they start.
      ...program.filter(isOnlyTested).map(({ file, line, name }) => {
        const message = name === undefined ? "Only tests use this file" : `Only tests use the export ${name}`;
        return { file, line, message };
      }),
    ];
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** An export or, if `name` is `undefined`, a whole file. */
interface Unused {
  readonly file: string;
  readonly line: number;
  readonly name: string | undefined;
}

function isUsedByOwnFile({ file, name }: Unused, { sources, checker }: Compiled): boolean {
  const source = sources.find((source) => pathOf(source) === file);
  const module = source && checker.getSymbolAtLocation(source);
  const exported = name === undefined ? undefined : module?.exports?.get(ts.escapeLeadingUnderscores(name));
  if (source === undefined || exported === undefined) return false;
  const isWithin = (node: ts.Node, outer: ts.Node) => outer.pos <= node.pos && node.end <= outer.end;
  let isUsed = false;
  eachNode(source, (node) => {
    // A use inside its own declaration, such as a recursive call, does not count.
    if (!ts.isIdentifier(node) || exported.declarations!.some((declared) => isWithin(node, declared))) return;
    const symbol = ts.isShorthandPropertyAssignment(node.parent)
      ? checker.getShorthandAssignmentValueSymbol(node.parent)
      : checker.getSymbolAtLocation(node);
    isUsed ||= symbol === exported || symbol !== undefined && checker.getExportSymbolOfSymbol(symbol) === exported;
  });
  return isUsed;
}

/** knip needs a package.json, which would change how Deno resolves packages, so it gets a copy of the project. */
async function writeCopy(folder: string, project: Project): Promise<void> {
  const entries = [...project].filter(([file, text]) => isEntry(file, text));
  // An exclamation mark marks the program, as opposed to its tests.
  const marked = (file: string) => isTestCode(file) ? file : `${file}!`;
  const common = { entry: entries.map(([file]) => marked(file)), project: [...project.keys()].map(marked) };
  const texts: [string, string][] = [
    ...project,
    ["package.json", JSON.stringify({ name: "copy", private: true })],
    ["knip.json", JSON.stringify({ ...common, ignoreExportsUsedInFile: false })],
  ];
  for (const [file, text] of texts) {
    const path = `${folder}/${file}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
}

function isEntry(file: string, text: string): boolean {
  if (isTestCode(file)) return file.endsWith("_test.ts");
  return ENTRIES.some((entry) => entry.test(file)) || file.startsWith("scripts/") && text.includes("import.meta.main");
}

/** Returns what no other file uses, among all files or among the files of the program without tests. */
async function runKnip(cwd: string, part: "all" | "program"): Promise<Unused[]> {
  const options = await createOptions({
    args: { include: [...ISSUES] },
    cwd,
    gitignore: false,
    isProduction: part === "program",
    isSession: true,
    isShowProgress: false,
  });
  const { issues } = (await createSession(options)).getIssues();
  return ISSUES.flatMap((type) => Object.values(issues[type]).flatMap((found) => Object.values(found)))
    .map(({ type, filePath, line = 1, symbol }) => {
      const file = filePath.replace(`${cwd}/`, "");
      return { file, line, name: type === "files" ? undefined : symbol };
    });
}
