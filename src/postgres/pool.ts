/**
 * Settings → the pool of connections to PostgreSQL, on which every wait has an end: on the server by the session's
 * settings, here by pg's time-outs. A connection on which an answer is overdue is destroyed, and none can end the process
 * by its error event. Statements of one connection may be sent without waiting for answers (pg's pipeline mode);
 * where that is safe is said in transaction.ts.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { after } from "../clock.ts";
import { clientClass } from "./client.ts";
import { describePostgresError, PostgresConnectionError } from "./failures.ts";
import { atOnce } from "./transaction.ts";

export interface PoolOptions {
  readonly dsn: { reveal(): string };
  /** Bound of one statement on the server, and of one attempt to connect. This process waits a little longer. */
  readonly operationTimeoutMs: number;
  readonly maxOpenConns: number;
  /** The server shows 63 characters: `program/` at its beginning, then the end. */
  readonly applicationName: string;
}

/**
 * How long a peer may hold rows without a sign of life: a process that is paused (its transaction is idle) or a host
 * that vanished (what is sent is not acknowledged). A Unix socket has no use for the second and takes it silently.
 */
const PEER_TIMEOUT_MS = 10_000;
const IDLE_CONNECTION_MS = 60_000;
const MAX_APPLICATION_NAME = 63;

/** @throws when the DSN can't be used, without telling it */
export function openPool(options: PoolOptions): PostgresPool {
  return new PostgresPool(options);
}

export class PostgresPool extends pg.Pool {
  readonly #connections: ReadonlySet<pg.Client>;

  constructor(options: PoolOptions) {
    const connections = new Set<pg.Client>();
    const config = clientConfig(options);
    refuseUnusable(config);
    super({
      ...config,
      max: options.maxOpenConns,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      Client: clientClass(connections),
      onConnect: (client) => setUpSession(client, options),
    });
    this.#connections = connections;
    // pg-pool keeps the DSN where console.log(pool) would show it.
    Object.defineProperty(this.options, "connectionString", { enumerable: false });
    // An idle connection broke: the next statement gets another. Without a listener the event would end the process.
    this.on("error", () => {});
    // pg's own would close the connection after an answer that is an error.
    const query = (...statement: [pg.QueryConfig]) => atOnce(this, (client) => client.query(...statement));
    this.query = query as pg.Pool["query"];
  }

  /** @throws PostgresConnectionError whatever went wrong */
  override connect(): Promise<pg.PoolClient>;
  override connect(callback: PoolCallback): void;
  override connect(callback?: PoolCallback): Promise<pg.PoolClient> | void {
    if (callback !== undefined) return super.connect(callback);
    return super.connect().catch((error) => {
      throw new PostgresConnectionError(error);
    });
  }

  /**
   * Ends the pool. Resolves when every connection is closed; after `timeoutMs` those that are left, in use or not, are
   * destroyed, and what waits for them rejects. Never rejects, may be called again.
   */
  async close(timeoutMs: number): Promise<void> {
    if (!this.ending) void this.end();
    const allClosed = Promise.all([...this.#connections].map((client) => closed(client)));
    const cancel = after(timeoutMs, () => {
      for (const client of this.#connections) client.connection.stream.destroy();
    });
    await allClosed;
    cancel();
  }
}

type PoolCallback = Parameters<pg.Pool["connect"]>[0];

function closed(client: pg.Client): Promise<void> {
  return new Promise((resolve) => client.on("end", resolve));
}

function clientConfig({ dsn, operationTimeoutMs, applicationName }: PoolOptions): pg.ClientConfig {
  return {
    connectionString: dsn.reveal(),
    application_name: shownName(applicationName),
    connectionTimeoutMillis: operationTimeoutMs,
    query_timeout: operationTimeoutMs + graceMs(operationTimeoutMs),
    keepAlive: true,
    keepAliveInitialDelayMillis: PEER_TIMEOUT_MS,
    pipeline: true,
  };
}

/** The server's own time-out comes first as a rule: it says more and leaves the connection usable. */
function graceMs(operationTimeoutMs: number): number {
  return Math.min(500, Math.max(100, operationTimeoutMs / 10));
}

/**
 * What PostgreSQL takes: 63 bytes of printable ASCII. Of a longer name the program, up to a slash, and the end of the
 * instance's id are kept.
 */
export function shownName(name: string): string {
  const shown = name.replace(/[^\x20-\x7e]/gu, "?");
  if (shown.length <= MAX_APPLICATION_NAME) return shown;
  const [program = ""] = /^[^/]{1,30}\//.exec(shown) ?? [];
  return program + shown.slice(-(MAX_APPLICATION_NAME - program.length));
}

/** pg reads the DSN with each new connection only; here an unusable one is found at once. */
function refuseUnusable(config: pg.ClientConfig): void {
  try {
    new pg.Client(config);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
    // Without the cause: its message may quote the DSN.
    throw new Error(`The PostgreSQL DSN can't be used${code}`);
  }
}

/**
 * Per session by a statement and not as start-up parameters, which session poolers refuse, and stronger than what the
 * DSN, the role or the database set. A setting that an old server doesn't know is left out, so that checkServer can tell.
 */
async function setUpSession(
  client: pg.ClientBase,
  { operationTimeoutMs, applicationName }: PoolOptions,
): Promise<void> {
  const settings: Readonly<Record<string, string>> = {
    application_name: shownName(applicationName),
    statement_timeout: String(operationTimeoutMs),
    // A little earlier, so that waiting for a lock (55P03) is told from being slow (57014).
    lock_timeout: String(Math.max(1, Math.floor(operationTimeoutMs * 0.8))),
    idle_in_transaction_session_timeout: String(PEER_TIMEOUT_MS),
    tcp_user_timeout: String(PEER_TIMEOUT_MS),
    // What the stages' SQL and pg's reading of times rely on.
    default_transaction_isolation: "read committed",
    TimeZone: "UTC",
    DateStyle: "ISO",
    // Every statement has its index. A plan made while a table was small, and kept, must not scan it once it is large; the
    // cost that the planner then puts on a scan would set off its compiler, which these statements don't repay.
    enable_seqscan: "off",
    jit: "off",
  };
  await client.query(
    `SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS setting (name, value)
     WHERE current_setting(name, true) IS NOT NULL`,
    [Object.keys(settings), Object.values(settings)],
  );
}

/** PostgreSQL can't be reached, or is none that this service can work with. */
export class UnsuitablePostgres extends Error {
  override readonly name = "UnsuitablePostgres";
  /** What to do about it. */
  readonly advice: string;

  constructor(message: string, { advice, ...options }: ErrorOptions & { readonly advice: string }) {
    super(message, options);
    this.advice = advice;
  }
}

/** @throws UnsuitablePostgres when PostgreSQL can't be reached, is too old or takes no writes */
export async function checkServer(pool: pg.Pool): Promise<{ version: string }> {
  const { version, number, isStandby, isReadOnly, encoding } = await askServer(pool);
  if (number < 140_000) {
    throw new UnsuitablePostgres(`PostgreSQL 14 or newer is needed, this is ${version}`, {
      advice: "install PostgreSQL 14 or newer",
    });
  }
  if (isStandby) {
    throw new UnsuitablePostgres("A PostgreSQL primary is needed, this server is a standby (in recovery)", {
      advice: "let the DSN name the primary",
    });
  }
  if (isReadOnly) {
    throw new UnsuitablePostgres("PostgreSQL takes no writes: default_transaction_read_only is on", {
      advice: "turn default_transaction_read_only off for the server, the database and the role",
    });
  }
  if (encoding !== "UTF8") {
    throw new UnsuitablePostgres(`The database must be encoded in UTF8, it is in ${encoding}`, {
      advice: "make a database with ENCODING 'UTF8' TEMPLATE template0 and let the DSN name it",
    });
  }
  return { version };
}

async function askServer(pool: pg.Pool) {
  try {
    const { rows } = await pool.query<
      { version: string; number: number; isStandby: boolean; isReadOnly: boolean; encoding: string }
    >(`
      SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
        current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS "isStandby", current_setting('default_transaction_read_only')::bool AS "isReadOnly"`);
    return rows[0]!;
  } catch (error) {
    throw new UnsuitablePostgres(`PostgreSQL does not answer: ${describePostgresError(error)}`, {
      cause: error,
      advice: adviceFor(error),
    });
  }
}

function adviceFor(error: unknown): string {
  const sqlState = error instanceof PostgresConnectionError ? error.code : "";
  if (sqlState.startsWith("28")) return "see that the DSN's role and password are right and pg_hba.conf lets them in";
  if (sqlState === "3D000") return "CREATE DATABASE … ENCODING 'UTF8', as an administrator, or name another in the DSN";
  if (sqlState === "42501") return "GRANT CONNECT ON DATABASE … to the DSN's role, as an administrator";
  return "see that PostgreSQL runs where the DSN points to";
}
