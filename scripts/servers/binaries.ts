// In: the file system. Out: where `redis-server` (7.0 or newer) and PostgreSQL's `initdb` and `postgres` (14 or newer)
// are. Looked for in PATH, then in the places where Debian, Fedora and Homebrew put them, the newest version first.
// What is missing is installed where that is possible (install.ts), else the error says what to type.

import { installServers, instructionsForNewer, ServersMissing } from "./install.ts";

const REDIS = { file: "redis-server", version: /v=(\d+)\./, oldest: 7 };
const POSTGRES = { file: "postgres", version: /\(PostgreSQL\) (\d+)/, oldest: 14 };

type Program = typeof REDIS;

export interface Binaries {
  readonly redisServer: string;
  /** The folder with `initdb` and `postgres`. */
  readonly postgresBin: string;
}

let found: Promise<Binaries> | undefined;

/** Looks once a process. Throws `ServersMissing` when they are not there and cannot be installed. */
export function findBinaries(): Promise<Binaries> {
  return found ??= find();
}

async function find(): Promise<Binaries> {
  let redis = await findRedis();
  let postgres = await findPostgres();
  if (redis === undefined || postgres === undefined) {
    const wanted = missing(redis, postgres);
    const absent = missing(redis ?? await findRedis(0), postgres ?? await findPostgres(0));
    await installServers(wanted, wanted.filter((name) => !absent.includes(name)));
    redis = await findRedis();
    postgres = await findPostgres();
  }
  if (redis === undefined || postgres === undefined) {
    // As on Ubuntu 22.04, whose Redis is 6.0.
    throw new ServersMissing(instructionsForNewer(missing(redis, postgres)));
  }
  return { redisServer: `${redis}/redis-server`, postgresBin: postgres };
}

/** Debian's names of what was not found. */
function missing(redis: string | undefined, postgres: string | undefined): string[] {
  return [...(redis === undefined ? ["redis-server"] : []), ...(postgres === undefined ? ["postgresql"] : [])];
}

async function findRedis(oldest = REDIS.oldest): Promise<string | undefined> {
  return await firstWith({ ...REDIS, oldest }, [...path(), "/usr/bin", "/opt/homebrew/bin", "/usr/local/bin"]);
}

async function findPostgres(oldest = POSTGRES.oldest): Promise<string | undefined> {
  const places = [
    ...path(),
    ...versionsIn("/usr/lib/postgresql", "", "/bin"),
    ...versionsIn("/usr", "pgsql-", "/bin"),
    ...versionsIn("/opt/homebrew/opt", "postgresql@", "/bin"),
    ...versionsIn("/usr/local/opt", "postgresql@", "/bin"),
    "/opt/homebrew/bin",
    "/usr/local/bin",
  ];
  return await firstWith({ ...POSTGRES, oldest }, places.filter((place) => isFile(`${place}/initdb`)));
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

async function firstWith(program: Program, folders: string[]): Promise<string | undefined> {
  for (const folder of new Set(folders)) {
    const file = `${folder}/${program.file}`;
    if (!isFile(file)) continue;
    const { stdout } = await new Deno.Command(file, { args: ["--version"], stderr: "null" }).output();
    const version = program.version.exec(new TextDecoder().decode(stdout))?.[1];
    if (Number(version) >= program.oldest) return folder;
  }
  return undefined;
}

function isFile(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false; // not there, or not for us to see
  }
}
