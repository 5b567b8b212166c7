/**
 * A name, and a function that fills a folder by a download → this folder, in a cache that is kept between runs.
 *
 * A folder is either complete or does not exist. If several processes need the same one, the first fills it and the
 * others wait. Every account can read it, because root's PostgreSQL runs as another account (`account.ts`).
 */
import { homedir } from "node:os";

const NAME = "notification-service-servers";

/**
 * `TEST_SERVERS_CACHE`, or the system's folder for caches. For root it is not in the home folder, which other accounts
 * cannot read.
 */
export function cacheFolder(): string {
  const chosen = Deno.env.get("TEST_SERVERS_CACHE");
  if (chosen !== undefined && chosen !== "") return chosen;
  const isMac = Deno.build.os === "darwin";
  if (Deno.uid() === 0) return `${isMac ? "/Library/Caches" : "/var/cache"}/${NAME}`;
  const home = Deno.env.get("HOME") || homedir();
  const caches = isMac ? `${home}/Library/Caches` : Deno.env.get("XDG_CACHE_HOME") || `${home}/.cache`;
  return `${caches}/${NAME}`;
}

/** The message is one line with what could not be downloaded and the reason. */
export class DownloadFailed extends Error {}

export interface Download {
  /** The folder's name in the cache. */
  readonly name: string;
  /** The name in messages. */
  readonly title: string;
  readonly fill: (folder: string) => Promise<void>;
}

/** Returns the path of the folder in the cache, which is filled first if it does not exist. @throws DownloadFailed */
export async function inCache({ name, title, fill }: Download): Promise<string> {
  try {
    return await filled(name, fill);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DownloadFailed(`${title} could not be downloaded: ${reason}`, { cause: error });
  }
}

async function filled(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const cache = cacheFolder();
  if (!isFolder(cache)) {
    await Deno.mkdir(cache, { recursive: true });
    await Deno.chmod(cache, 0o755); // independent of the umask
  }
  using lock = await Deno.open(`${cache}/lock`, { create: true, write: true });
  await lock.lock(true); // until the file is closed, or this process ends
  const folder = `${cache}/${name}`;
  if (isFolder(folder)) return folder;

  const unfinished = `${folder}.unfinished`;
  await removeFolder(unfinished);
  await Deno.mkdir(unfinished);
  await Deno.chmod(unfinished, 0o755);
  try {
    await fill(unfinished);
    await Deno.rename(unfinished, folder);
  } finally {
    await removeFolder(unfinished);
  }
  return folder;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
