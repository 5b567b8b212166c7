/**
 * A package of Debian or Ubuntu and the programs in it → a folder with these programs. The package is unpacked into the
 * cache (`cache_folder.ts`), with the libraries that this machine lacks. Nothing is installed, and no root access is
 * needed.
 *
 * Progress is written to standard error. A failure throws `DownloadFailed` with the reason.
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

/** The folder that contains the programs after the package was unpacked. */
export function unpackedPrograms(packageName: string): string {
  return `${cacheFolder()}/${folderName(packageName)}/bin`;
}

function folderName(packageName: string): string {
  return `debian-${packageName}`;
}

/**
 * First tries the system's package lists. If there are none (in a new container) or they name deleted versions,
 * downloads separate lists, which needs no root access.
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

/** Downloads the packages that apt-get would install: this one and its dependencies that are not installed yet. */
async function downloadMissing(name: string, folder: string, options: readonly string[]): Promise<void> {
  const plan = await output(["apt-get", ...options, "--simulate", "--no-install-recommends", "install", name]);
  const packages = [...plan.matchAll(/^Inst (\S+) /gm)].map((match) => match[1]!);
  if (packages.length === 0) throw new Error(`apt-get has nothing to install for ${name}`);
  await output(["apt-get", ...options, "download", ...packages], folder);
}

/** The unpacked programs search only the system's library folders, so each gets a wrapper that sets LD_LIBRARY_PATH. */
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

/** Debian's library folders, such as `usr/lib/x86_64-linux-gnu`. */
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

/** @throws Error with the last lines of the command's standard error */
async function output([command, ...args]: readonly [string, ...string[]], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env: { LC_ALL: "C" },
    stdin: "null",
    ...(cwd === undefined ? {} : { cwd }),
  }).output();
  if (!success) {
    const errorOutput = new TextDecoder().decode(stderr).trim().split("\n").slice(-3).join(" ");
    const shown = args.filter((arg) => !arg.startsWith("-") && !arg.includes("::"));
    throw new Error(`${command} ${shown.join(" ")}: ${errorOutput}`);
  }
  return new TextDecoder().decode(stdout);
}
