/**
 * Paths in the form of `deno test` → the test files below them, and which of these have separate dependencies, because
 * they are in a folder with its own deno.json, such as scripts/validators.
 */
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** Returns the test files in and below a folder. Any other path is returned as it is, for `deno test`. */
export function testFiles(path: string): string[] {
  if (!isFolder(path)) return [path];
  const entries = [...Deno.readDirSync(path)].toSorted((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return name.endsWith("_test.ts") ? [`${path}/${name}`] : [];
  });
}

/** Returns the nearest deno.json in a folder below `root`; `undefined` if the nearest one is that of `root`. */
export function ownConfiguration(file: string, root: string): string | undefined {
  for (let folder = dirname(resolve(root, file)); isBelow(folder, root); folder = dirname(folder)) {
    const found = join(folder, "deno.json");
    if (existsSync(found)) return found;
  }
  return undefined;
}

function isBelow(folder: string, root: string): boolean {
  const path = relative(root, folder);
  return path !== "" && !path.startsWith("..");
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false; // a pattern, or it does not exist
  }
}
