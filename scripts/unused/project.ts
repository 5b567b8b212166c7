/**
 * The folder of a project → its TypeScript files.
 *
 * These are main.ts and the files below src/, scripts/ and tests/. Paths are relative to the project, e.g.
 * `src/intake/accept.ts`.
 */
import { sourceFiles } from "../imports.ts";

/** One line of the check's output. */
export interface Breach {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

/** The text of every file, by path. */
export type Project = ReadonlyMap<string, string>;

export function readProject(root: URL): Project {
  const files = ["main.ts", ...["src", "scripts", "tests"].flatMap((folder) => [...sourceFiles(root, folder)])].sort();
  return new Map(files.map((file) => [file, Deno.readTextFileSync(new URL(file, root))]));
}

/** Whether only tests run this file. */
export function isTestCode(file: string): boolean {
  return file.endsWith("_test.ts") || file.startsWith("tests/");
}
