/**
 * A file's path and text → its imports; a folder of a project → its TypeScript files.
 *
 * Paths are relative to the project, e.g. `src/intake/accept.ts`.
 */

export interface Import {
  /** Counted from 1. */
  readonly line: number;
  readonly specifier: string;
}

/** Returns static and dynamic imports and re-exports, including types, also of statements over several lines. */
export function* importsOf(source: string): Generator<Import> {
  const statement =
    /^\s*(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  for (const match of source.matchAll(statement)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? "";
    yield { line: source.slice(0, match.index + match[0].length).split("\n").length, specifier };
  }
}

/** Returns the file of a relative specifier; `undefined` for a package. */
export function targetOf(file: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? new URL(specifier, `file:///${file}`).pathname.slice(1) : undefined;
}

export function* sourceFiles(root: URL, folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder, root))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* sourceFiles(root, path);
    else if (path.endsWith(".ts")) yield path;
  }
}
