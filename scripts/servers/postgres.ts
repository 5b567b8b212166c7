/**
 * Nothing, or settings → a PostgreSQL server of one's own on a free port of 127.0.0.1, with a password, in a temporary
 * folder.
 *
 * Durable as in production (fsync, synchronous_commit); it can be stopped, killed and started again on the same data
 * and port; process and folder are gone when it is disposed of or this process ends, however it ends.
 */
import { outputOf } from "../command_output.ts";
import { setTimeout as sleep } from "node:timers/promises";
// @ts-types="@types/pg"
import pg from "pg";
import { findBinaries } from "./binaries.ts";
import { scratchFolder, serverAccount } from "./account.ts";
import { runSql } from "./run_sql.ts";
import { ServerProcess, StartError, withFreePort } from "./server_process.ts";

export interface PostgresOptions {
  /** Server settings by name, e.g. `{ log_statement: "all" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Variables of the server's process, e.g. `{ LANGUAGE: "de" }` for its messages. */
  readonly env?: Readonly<Record<string, string>>;
  /** A copy of another server's data directory (`copyData`) that this one begins with. */
  readonly copy?: PostgresCopy;
}

export interface PostgresCopy {
  /** Moved into the new server's folder. */
  readonly dataDir: string;
  readonly password: string;
  /** A port of this host, at which the server is whose standby this one is to be. */
  readonly primaryPort?: number;
}

export interface DatabaseOptions {
  /** Default: a name of its own. */
  readonly name?: string;
  /** Options of CREATE DATABASE, e.g. `TEMPLATE template0 ENCODING 'LATIN1'`. Default: those of the server. */
  readonly properties?: string;
}

export interface Postgres extends AsyncDisposable {
  /** The superuser's URL of the database `postgres`. */
  readonly dsn: string;
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly password: string;
  /** `fast` (the default) breaks connections, `smart` waits for their end, `immediate` leaves the rest to recovery. */
  stop(mode?: keyof typeof STOP_SIGNALS): Promise<void>;
  start(): Promise<void>;
  /**
   * Copies the data directory as it is at one moment, which is what a crash would leave; the server stands still
   * meanwhile.
   */
  copyData(to: string): Promise<void>;
  /** Puts the data directory back to such a copy, which is used up. The server must be stopped. */
  restoreData(copy: string): Promise<void>;
  /** To all of the server's processes; after SIGKILL it can be started again. */
  kill(signal: Deno.Signal): Promise<void>;
  /** Makes an empty database and returns its URL. */
  createDatabase(name?: string): Promise<string>;
}

const STOP_SIGNALS = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const satisfies Record<
  string,
  Deno.Signal
>;

const HOST = "127.0.0.1";

export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  return await withFreePort((port) => startOn(port, options));
}

async function startOn(port: number, { settings, env, copy }: PostgresOptions): Promise<Postgres> {
  const { postgresBin } = await findBinaries();
  const account = await serverAccount();
  const folder = await scratchFolder("notification-postgres", account);
  const dataDir = `${folder}/data`;
  const password = copy?.password ?? crypto.randomUUID().replaceAll("-", "");
  const all = {
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: folder,
    max_connections: "200",
    fsync: "on",
    synchronous_commit: "on",
    ...(copy?.primaryPort === undefined
      ? {}
      : { primary_conninfo: `host=${HOST} port=${copy.primaryPort} user=postgres password=${password}` }),
    ...settings,
  };
  const server = new ServerProcess({
    name: "PostgreSQL",
    command: [
      `${postgresBin}/postgres`,
      "-D",
      dataDir,
      ...Object.entries(all).flatMap((pair) => ["-c", pair.join("=")]),
    ],
    folder,
    account,
    env,
    quickSignal: "QUIT",
    isReady: (pid) => isReady(dataDir, pid),
  });
  const dsn = `postgres://postgres:${password}@${HOST}:${port}/postgres`;
  try {
    if (copy === undefined) await initdb(`${postgresBin}/initdb`, dataDir, { password, folder, account });
    else await outputOf("mv", [copy.dataDir, dataDir]);
    if (copy?.primaryPort !== undefined) await Deno.writeTextFile(`${dataDir}/standby.signal`, "");
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return {
    dsn,
    host: HOST,
    port,
    dataDir,
    password,
    stop: (mode = "fast") => server.stop(STOP_SIGNALS[mode]),
    start: () => startAgain(server),
    async copyData(to) {
      await server.whileFrozen(() => outputOf("cp", ["-a", dataDir, to]));
      await Deno.remove(`${to}/postmaster.pid`);
    },
    async restoreData(copied) {
      await outputOf("rm", ["-rf", dataDir]);
      await outputOf("mv", [copied, dataDir]);
    },
    kill: (signal) => server.kill(signal),
    createDatabase: (name) => createDatabase(dsn, name === undefined ? {} : { name }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Makes an empty database on the server of `dsn` and returns its URL. */
export async function createDatabase(
  dsn: string,
  { name = `test_${crypto.randomUUID().replaceAll("-", "")}`, properties = "" }: DatabaseOptions = {},
): Promise<string> {
  await runSql(dsn, `CREATE DATABASE ${pg.escapeIdentifier(name)} ${properties}`);
  const url = new URL(dsn);
  url.pathname = `/${name}`;
  return url.href;
}

/** Removes the database that `database` is the URL of, also while clients are connected. */
export async function dropDatabase(dsn: string, database: string): Promise<void> {
  const name = new URL(database).pathname.slice(1);
  await runSql(dsn, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
}

async function initdb(
  command: string,
  dataDir: string,
  { password, folder, account }: {
    password: string;
    folder: string;
    account: { uid: number; gid: number } | undefined;
  },
): Promise<void> {
  const passwordFile = `${folder}/password`;
  await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
  if (account !== undefined) await Deno.chown(passwordFile, account.uid, account.gid);
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [
      ...["--pgdata", dataDir, "--username", "postgres", "--pwfile", passwordFile, "--auth", "scram-sha-256"],
      ...["--encoding", "UTF8", "--no-locale", "--no-sync"],
    ],
    cwd: folder,
    env: { LC_ALL: "C" },
    stdin: "null",
    ...account,
  }).output();
  await Deno.remove(passwordFile);
  if (!success) {
    const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
    throw new StartError(`initdb failed:\n${output}`);
  }
}

/** What `pg_ctl` looks at: the first line of postmaster.pid is the process, the eighth its state. */
async function isReady(dataDir: string, pid: number): Promise<boolean> {
  try {
    const lines = (await Deno.readTextFile(`${dataDir}/postmaster.pid`)).split("\n");
    return lines[0] === String(pid) && lines[7]?.trim() === "ready";
  } catch {
    return false; // not written yet
  }
}

/**
 * After a SIGKILL the orphaned backends hold the shared memory for a moment, and the start is refused until they are
 * gone. The server says so in its own language, so that any failure is tried again for a while.
 */
async function startAgain(server: ServerProcess): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      return await server.start();
    } catch (error) {
      if (!(error instanceof StartError) || performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
