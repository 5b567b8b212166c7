/**
 * A package of Debian or Ubuntu, and programs in it → the folder with those programs, which run for this account alone:
 * the system's own packages, unpacked into the cache (cache_folder.ts) with the libraries that this machine lacks.
 * Nothing is installed, and no right is needed.
 *
 * It says on standard error what it does; `DownloadFailed` otherwise, with the reason.
 */
import { cacheFolder, inCache } from "./cache_folder.ts";

export interface DebianPackage {
  readonly name: string;
  readonly programs: readonly string[];
}

/** Returns the folder with the programs. */
export async function unpackPackage({ name, programs }: DebianPackage): Promise<string> {
  const folder = await inCache({
    name: folderName(name),
    title: name,
    fill: async (folder) => {
      console.error(`Downloading ${name} with apt-get into ${cacheFolder()} …`);
      const archives = `${folder}/archives`;
      await Deno.mkdir(archives);
      await downloadPackages(name, archives);
      for (const { name } of Deno.readDirSync(archives)) {
        if (name.endsWith(".deb")) await output(["dpkg-deb", "-x", `${archives}/${name}`, `${folder}/root`]);
      }
      await Deno.remove(archives, { recursive: true });
      await makeWrappers(folder, programs);
      for (const program of programs) await output([`${folder}/bin/${program}`, "--version"]);
    },
  });
  return `${folder}/bin`;
}

/** Where the programs are once the package is unpacked. */
export function unpackedPrograms(packageName: string): string {
  return `${cacheFolder()}/${folderName(packageName)}/bin`;
}

function folderName(packageName: string): string {
  return `debian-${packageName}`;
}

/**
 * With the system's package lists; where there are none (a fresh container) or they name versions that no longer exist,
 * with lists of our own, which need no right to download.
 */
async function downloadPackages(name: string, folder: string): Promise<void> {
  try {
    await downloadMissing(name, folder, []);
  } catch {
    const own = ["-o", `Dir::State::lists=${folder}/lists`, "-o", `Dir::Cache=${folder}/cache`];
    await Deno.mkdir(`${folder}/lists/partial`, { recursive: true });
    await Deno.mkdir(`${folder}/cache/archives/partial`, { recursive: true });
    await output(["apt-get", ...own, "update"]);
    await downloadMissing(name, folder, own);
  }
}

/** The package and what it needs, less what is installed: what apt-get would install. */
async function downloadMissing(name: string, folder: string, options: readonly string[]): Promise<void> {
  const plan = await output(["apt-get", ...options, "--simulate", "--no-install-recommends", "install", name]);
  const packages = [...plan.matchAll(/^Inst (\S+) /gm)].map((match) => match[1]!);
  if (packages.length === 0) throw new Error(`apt-get has nothing to install for ${name}`);
  await output(["apt-get", ...options, "download", ...packages], folder);
}

/** The unpacked programs look for their libraries where the system has its own, so they are shown where ours are. */
async function makeWrappers(folder: string, programs: readonly string[]): Promise<void> {
  const libraries = ["lib", "usr/lib"].flatMap((parent) => multiarchFolders(`${folder}/root/${parent}`, parent))
    .map((place) => `$root/${place}`).join(":");
  await Deno.mkdir(`${folder}/bin`);
  for (const program of programs) {
    const place = ["usr/bin", "usr/sbin"].find((place) => exists(`${folder}/root/${place}/${program}`));
    if (place === undefined) throw new Error(`the package has no ${program}`);
    const script = `#!/bin/sh
root=$(cd "$(dirname "$0")/../root" && pwd)
LD_LIBRARY_PATH="${libraries}" exec "$root/${place}/${program}" "$@"
`;
    await Deno.writeTextFile(`${folder}/bin/${program}`, script, { mode: 0o755 });
  }
}

/** Where Debian puts libraries: `usr/lib/x86_64-linux-gnu` and the like. */
function multiarchFolders(path: string, parent: string): string[] {
  if (!exists(path)) return [];
  return [...Deno.readDirSync(path)].filter(({ name }) => name.includes("-linux-"))
    .map(({ name }) => `${parent}/${name}`);
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** @throws with the end of what the command says on standard error */
async function output([command, ...args]: readonly [string, ...string[]], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env: { LC_ALL: "C" },
    stdin: "null",
    ...(cwd === undefined ? {} : { cwd }),
  }).output();
  if (!success) {
    const said = new TextDecoder().decode(stderr).trim().split("\n").slice(-3).join(" ");
    const shown = args.filter((arg) => !arg.startsWith("-") && !arg.includes("::"));
    throw new Error(`${command} ${shown.join(" ")}: ${said}`);
  }
  return new TextDecoder().decode(stdout);
}
