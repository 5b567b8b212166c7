/**
 * A program's entry file → the npm packages that its code can reach, and a cache for Deno with only these packages,
 * without files that no program reads: type declarations, source maps, other builds of the same code. Licences are
 * kept.
 */
import { outputOf } from "../command_output.ts";
import { existsSync } from "node:fs";
import { dirname } from "node:path";

interface Package {
  readonly name: string;
  readonly version: string;
  /** The ids of the dependencies: keys of {@link PackageGraph}. */
  readonly dependencies: readonly string[];
  readonly registryUrl: string;
}

/** Packages by id, which includes the peer dependencies with which the package was resolved. */
export type PackageGraph = ReadonlyMap<string, Package>;

interface DenoInfo {
  readonly redirects: Readonly<Record<string, string>>;
  readonly modules: readonly {
    readonly specifier: string;
    readonly npmPackage?: string;
    readonly dependencies?: readonly { readonly code?: { readonly specifier?: string } }[];
  }[];
  readonly npmPackages: Readonly<Record<string, Package>>;
}

/** Packages that are imported only for their types are not included. */
export async function reachablePackages(entry: string): Promise<PackageGraph> {
  return reachable(JSON.parse(await outputOf(Deno.execPath(), ["info", "--json", entry])));
}

/** Exported for its test. */
export function reachable({ modules, redirects, npmPackages }: DenoInfo): PackageGraph {
  const idsBySpecifier = new Map(modules.map(({ specifier, npmPackage }) => [specifier, npmPackage]));
  const pending = modules.flatMap(({ dependencies = [] }) =>
    dependencies.flatMap(({ code }) => {
      const specifier = code?.specifier ?? "";
      return idsBySpecifier.get(redirects[specifier] ?? specifier) ?? [];
    })
  );
  const found = new Map<string, Package>();
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const known = npmPackages[id];
    if (known === undefined) throw new Error(`deno info names no package ${id}`);
    if (found.has(id)) continue;
    found.set(id, known);
    pending.push(...known.dependencies);
  }
  return new Map([...found].sort(([left], [right]) => left < right ? -1 : 1));
}

/** Makes `folder` a DENO_DIR with these packages, and with the runtimes in the present DENO_DIR. */
export async function writeCache(folder: string, packages: PackageGraph): Promise<void> {
  const { denoDir, npmCache } = JSON.parse(await outputOf(Deno.execPath(), ["info", "--json"]));
  await Deno.mkdir(`${denoDir}/dl`, { recursive: true });
  await Deno.mkdir(folder, { recursive: true });
  await Deno.symlink(`${denoDir}/dl`, `${folder}/dl`);
  for (const { name, version, registryUrl } of packages.values()) {
    const place = `${new URL(registryUrl).hostname}/${name}`;
    const original = `${npmCache}/${place}/${version}`;
    await copyFolder(original, `${folder}/npm/${place}/${version}`, await unreadFolders(original));
    // Deno asks the registry about direct imports of the program, unless this file exists. For the others the lock file
    // is enough.
    const described = `${npmCache}/${place}/registry.json`;
    if (existsSync(described)) await Deno.copyFile(described, `${folder}/npm/${place}/registry.json`);
  }
}

/**
 * Returns folders with another build of the same code, which only bundlers read and which no other entry of
 * package.json refers to.
 */
async function unreadFolders(path: string): Promise<string[]> {
  const { module, esnext, main, exports, imports } = JSON.parse(await Deno.readTextFile(`${path}/package.json`));
  const read = JSON.stringify([main, exports, imports]);
  return [module, esnext]
    .filter((file): file is string => typeof file === "string")
    .map((file) => dirname(file).replace(/^\.\//, ""))
    .filter((folder) => folder !== "." && !read.includes(folder))
    .map((folder) => `${path}/${folder}`);
}

const UNREAD_FILE = /\.([cm]?ts|map|md|markdown|flow|tsbuildinfo)$/;

async function copyFolder(from: string, to: string, except: readonly string[]): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const path = `${from}/${name}`;
    if (except.includes(path)) continue;
    if (isDirectory) await copyFolder(path, `${to}/${name}`, except);
    else if (!UNREAD_FILE.test(name) || /licen[cs]e|notice/i.test(name)) await Deno.copyFile(path, `${to}/${name}`);
  }
}
