/**
 * Paths as `deno test` takes them → the test files below them, and which of them have dependencies of their own: those
 * in a folder with a deno.json of its own, such as scripts/validators.
 */
import { dirname, join, relative, resolve } from "node:path";

/** Those in a folder and below; anything else is left for `deno test` to understand. */
export function testFiles(path: string): string[] {
  if (!isFolder(path)) return [path];
  const entries = [...Deno.readDirSync(path)].toSorted((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return name.endsWith("_test.ts") ? [`${path}/${name}`] : [];
  });
}

/** The nearest deno.json of a folder below `root`; nothing where that is the root's own. */
export function ownConfiguration(file: string, root: string): string | undefined {
  for (let folder = dirname(resolve(root, file)); isBelow(folder, root); folder = dirname(folder)) {
    const found = join(folder, "deno.json");
    if (isFile(found)) return found;
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
    return false; // a pattern, or nothing
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
