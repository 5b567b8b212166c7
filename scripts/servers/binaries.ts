/**
 * The file system → where `redis-server` (7.0 or newer) and PostgreSQL's `initdb` and `postgres` (14 or newer, or the
 * major version that TEST_POSTGRES_VERSION names) are. Looked for in PATH, then in the places where Debian, Fedora and
 * Homebrew put them, then in the cache of what was downloaded (cache_folder.ts), the newest version first.
 *
 * What is missing is downloaded or installed where that is possible; otherwise the error says what to type.
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

/** Looks once a process. Throws `ServersMissing` when they are not there and cannot be had. */
export function findBinaries(): Promise<Binaries> {
  return found ??= find();
}

async function find(): Promise<Binaries> {
  const wanted = wantedPostgres(Deno.env.get("TEST_POSTGRES_VERSION"));
  const isRedisGood: Accepts = (version) => version >= OLDEST_REDIS;
  const isPostgresGood: Accepts = (version) => wanted === undefined ? version >= OLDEST_POSTGRES : version === wanted;

  let postgres = await findPostgres(isPostgresGood);
  if (postgres === undefined && await unlessFailed(() => obtainPostgres(wanted))) {
    postgres = await findPostgres(isPostgresGood);
  }
  if (postgres === undefined && wanted !== undefined) throw new ServersMissing(notThisVersion(wanted));
  let redis = await findRedis(isRedisGood);
  if (redis === undefined && Deno.uid() !== 0 && await distribution() === "debian") {
    if (await unlessFailed(() => unpackPackage(REDIS_PACKAGE))) redis = await findRedis(isRedisGood);
  }
  if (redis === undefined || postgres === undefined) {
    const lacking = missing(redis, postgres);
    const absent = missing(redis ?? await findRedis(anyVersion), postgres ?? await findPostgres(anyVersion));
    await installServers(lacking, lacking.filter((name) => !absent.includes(name)));
    redis = await findRedis(isRedisGood);
    postgres = await findPostgres(isPostgresGood);
  }
  if (redis === undefined || postgres === undefined) {
    // As on Ubuntu 22.04, whose Redis is 6.0.
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
 * A server's companion, such as `redis-cli`: by its name where PATH has it, else by its path; nothing where there is
 * none.
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

/** Downloads the version that is wanted, else the newest, where there is such a package for this platform. */
async function obtainPostgres(wanted: number | undefined): Promise<void> {
  const chosen = packagesFor().find((entry) => wanted === undefined || majorOf(entry) === wanted);
  if (chosen !== undefined) await downloadPostgres(chosen);
}

/** False for a download that failed: it is reported, and leaves the other ways open. */
async function unlessFailed(download: () => Promise<unknown>): Promise<boolean> {
  try {
    await download();
    return true;
  } catch (error) {
    if (!(error instanceof DownloadFailed)) throw error;
    console.error(error.message);
    return false;
  }
}

function notThisVersion(wanted: number): string {
  const versions = packagesFor().map(majorOf).join(", ");
  return `PostgreSQL ${wanted}, which TEST_POSTGRES_VERSION names, is not installed and could not be downloaded ` +
    `(there are packages for ${PLATFORM} of: ${versions || "none"})`;
}

/** Debian's names of what was not found. */
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

/** `/usr/lib/postgresql/{17,15}/bin` and the like, newest first. */
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
    return undefined; // not to be run by the account that the server will have
  }
}

function isFile(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false; // not there, or not for us to see
  }
}
