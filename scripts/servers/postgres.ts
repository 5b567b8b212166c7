/**
 * Nothing, or settings → a new PostgreSQL server on a free port of 127.0.0.1, with a password, in a temporary folder.
 *
 * It is as durable as in production (fsync, synchronous_commit), and can be stopped, killed and started again with the
 * same data and port. The process is ended and the folder deleted on disposal, or when this process ends in any way.
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
  /** Environment variables of the server, e.g. `{ LANGUAGE: "de" }` for its messages. */
  readonly env?: Readonly<Record<string, string>>;
  /** A copy of another server's data directory (`copyData`) to start from. */
  readonly copy?: PostgresCopy;
}

export interface PostgresCopy {
  /** Moved into the new server's folder. */
  readonly dataDir: string;
  readonly password: string;
  /** Makes the server a standby of the server on this port of 127.0.0.1. */
  readonly primaryPort?: number;
}

export interface DatabaseOptions {
  /** Default: a unique name. */
  readonly name?: string;
  /** Options of CREATE DATABASE, e.g. `TEMPLATE template0 ENCODING 'LATIN1'`. Default: none. */
  readonly properties?: string;
}

export interface Postgres extends AsyncDisposable {
  /** The URL of the database `postgres` for the superuser. */
  readonly dsn: string;
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly password: string;
  /**
   * `fast` (the default) closes the connections, `smart` waits until clients close them, `immediate` ends the server
   * without a shutdown, so that the next start recovers from the WAL.
   */
  stop(mode?: keyof typeof STOP_SIGNALS): Promise<void>;
  start(): Promise<void>;
  /**
   * Copies the data directory as a crash would leave it. The server is frozen meanwhile, so the copy is of one moment.
   */
  copyData(to: string): Promise<void>;
  /** Replaces the data directory by such a copy, which is moved. The server must be stopped. */
  restoreData(copy: string): Promise<void>;
  /** Sends the signal to all processes of the server. After SIGKILL the server can be started again. */
  kill(signal: Deno.Signal): Promise<void>;
  /** Creates an empty database and returns its URL. */
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

/** Creates an empty database on the server of `dsn` and returns its URL. */
export async function createDatabase(
  dsn: string,
  { name = `test_${crypto.randomUUID().replaceAll("-", "")}`, properties = "" }: DatabaseOptions = {},
): Promise<string> {
  await runSql(dsn, `CREATE DATABASE ${pg.escapeIdentifier(name)} ${properties}`);
  const url = new URL(dsn);
  url.pathname = `/${name}`;
  return url.href;
}

/** Drops the database whose URL is `database`, even if clients are connected. */
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

/** Checks what `pg_ctl` checks: the first line of postmaster.pid is the process id, the eighth is the state. */
async function isReady(dataDir: string, pid: number): Promise<boolean> {
  try {
    const lines = (await Deno.readTextFile(`${dataDir}/postmaster.pid`)).split("\n");
    return lines[0] === String(pid) && lines[7]?.trim() === "ready";
  } catch {
    return false; // not written yet
  }
}

/**
 * After a SIGKILL the remaining backends hold the shared memory for a short time, and a start fails until they have
 * ended. The message may be in any language, so a start is repeated after any failure, for up to ten seconds.
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
