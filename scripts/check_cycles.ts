/**
 * The source under src/, scripts/ and tests/ (of another project, if its folder is given) → one line `file:line:
 * message` for every import that closes a cycle of files; exit code 1 if there is one.
 *
 * Imports of types are checked, too.
 */
import { importsOf, sourceFiles, targetOf } from "./imports.ts";

if (import.meta.main) {
  const root = Deno.args[0] === undefined ? new URL("../", import.meta.url) : new URL(`file://${Deno.args[0]}/`);
  const files = ["src", "scripts", "tests"].flatMap((folder) => [...sourceFiles(root, folder)]).sort();
  const lines = findCycles(new Map(files.map((file) => [file, Deno.readTextFileSync(new URL(file, root))])));
  for (const line of lines) console.error(line);
  if (lines.length > 0) Deno.exit(1);
}

/** @param sources the text of every file, by path relative to the project */
export function findCycles(sources: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const seen = new Set<string>();
  const way: string[] = [];

  const visit = (file: string): void => {
    seen.add(file);
    way.push(file);
    for (const { specifier, line } of importsOf(sources.get(file)!)) {
      const target = targetOf(file, specifier);
      if (target === undefined || !sources.has(target)) continue;
      if (way.includes(target)) {
        const cycle = [...way.slice(way.indexOf(target)), target];
        found.push(`${file}:${line}: Import cycle: ${cycle.join(" → ")}`);
      } else if (!seen.has(target)) {
        visit(target);
      }
    }
    way.pop();
  };

  for (const file of sources.keys()) if (!seen.has(file)) visit(file);
  return found;
}
