/**
 * Settings → the pool of connections to PostgreSQL. Every wait is bounded: on the server by the session's settings,
 * here by pg's time-outs. A connection with an overdue answer is destroyed, and no error event of a connection can end
 * the process. Statements of one connection may be sent without waiting for answers (pg's pipeline mode);
 * transaction.ts says where that is safe.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { after, systemClock } from "../clock.ts";
import { Backends } from "./backends.ts";
import { clientClass, type OwnClient } from "./client.ts";
import { describePostgresError, PostgresConnectionError } from "./failures.ts";
import { PEER_TIMEOUT_MS, setUpSession, shownName } from "./session.ts";
import { SessionOwners } from "./session_owner.ts";
import { TlsFailure, UnusableDsn, withTls } from "./tls.ts";
import { atOnce } from "./transaction.ts";
import { UnsuitablePostgres, unsuitablePostgresIn } from "./unsuitable.ts";

export interface PoolOptions {
  readonly dsn: {
    reveal(): string;
    /** Reads the DSN from its file again, after a server has refused it. */
    readAgain?(): void;
  };
  /** Bound of one statement on the server, and of one attempt to connect. This process waits a little longer. */
  readonly operationTimeoutMs: number;
  readonly maxOpenConns: number;
  readonly applicationName: string;
  /** Whether connections to this server (`Session.server`) may be used; without this function all may. */
  readonly admits?: (server: string) => boolean;
}

const IDLE_CONNECTION_MS = 60_000;
/** How long the pool uses only the connections that the server grants, before it asks for more again. */
const NARROWED_MS = 60_000;
/** SQLSTATE of a server, database or role that grants no more connections. */
const TOO_MANY_CONNECTIONS = "53300";

/** @throws when the DSN can't be used; the message does not contain it */
export function openPool(options: PoolOptions): PostgresPool {
  return new PostgresPool(options);
}

export class PostgresPool extends pg.Pool {
  readonly #connections: ReadonlySet<pg.Client>;
  readonly #dsn: PoolOptions["dsn"];
  readonly #backends: Backends;
  readonly #maxOpenConns: number;
  /** Until then `options.max` is the number of connections that the server grants. */
  #narrowedUntilMs = -Infinity;

  constructor(options: PoolOptions) {
    const connections = new Set<pg.Client>();
    const backends = new Backends(options.operationTimeoutMs);
    const settings = () => clientConfig(options);
    refuseUnusable(settings);
    const owners = new SessionOwners(() => new pg.Client(settings()));
    super({
      connectionTimeoutMillis: options.operationTimeoutMs,
      max: options.maxOpenConns,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      Client: clientClass({ open: connections, settings, onSharedSession: () => destroyAll(connections) }),
      onConnect: async (client) => {
        (client as OwnClient).isPooled = await owners.decide(client as pg.Client) === "pooled";
        const { pid, server } = await setUpSession(client, options);
        if (options.admits?.(server) === false) {
          throw new Error("PostgreSQL was started or replaced, and is not yet checked for losses");
        }
        const atWork = await backends.atWork(client);
        if (atWork >= options.maxOpenConns) {
          throw new Error(`PostgreSQL is still at work on ${atWork} statements of this process that were given up`);
        }
        backends.opened(client, pid);
      },
    });
    this.#connections = connections;
    this.#dsn = options.dsn;
    this.#backends = backends;
    this.#maxOpenConns = options.maxOpenConns;
    // When an idle connection breaks, the next statement gets another one. Without a listener the event would end the
    // process.
    this.on("error", () => {});
    // The next connection may lead to another server, or to a pooler that has been switched to another mode.
    this.on("remove", () => owners.forget());
    // pg's own `query` would close the connection after an error in an answer.
    const query = (...statement: [pg.QueryConfig]) => atOnce(this, (client) => client.query(...statement));
    this.query = query as pg.Pool["query"];
  }

  /**
   * If the server grants fewer connections than the pool's maximum, waits for one of the existing ones. If the server
   * refuses a secret that was replaced in its file, uses the new one.
   * @throws PostgresConnectionError for every failure
   */
  override async connect(): Promise<pg.PoolClient> {
    if (systemClock.monotonic() >= this.#narrowedUntilMs) this.options.max = this.#maxOpenConns;
    for (;;) {
      const usedDsn = this.#dsn.reveal();
      try {
        return await super.connect();
      } catch (error) {
        const goesOn = this.#isNarrowed(error) || this.#isSecretReplaced(error, usedDsn);
        if (!goesOn) throw new PostgresConnectionError(error);
      }
    }
  }

  #isNarrowed(error: unknown): boolean {
    const isGrantedLess = error instanceof pg.DatabaseError && error.code === TOO_MANY_CONNECTIONS;
    const open = this.#backends.size;
    if (!isGrantedLess || open === 0) return false;
    this.options.max = open;
    this.#narrowedUntilMs = systemClock.monotonic() + NARROWED_MS;
    return true;
  }

  #isSecretReplaced(error: unknown, usedDsn: string): boolean {
    if (!isRefusedSecret(error)) return false;
    this.#dsn.readAgain?.();
    return this.#dsn.reveal() !== usedDsn;
  }

  /**
   * Ends the pool. Resolves when every connection is closed; after `timeoutMs` the remaining connections are destroyed,
   * in use or not, and calls that wait for them reject. Never rejects, may be called again.
   */
  async close(timeoutMs: number): Promise<void> {
    if (!this.ending) void this.end();
    const allClosed = Promise.all([...this.#connections].map((client) => closed(client)));
    const cancel = after(timeoutMs, () => destroyAll(this.#connections));
    await allClosed;
    cancel();
  }
}

function destroyAll(connections: ReadonlySet<pg.Client>): void {
  for (const client of connections) client.connection.stream.destroy();
}

function closed(client: pg.Client): Promise<void> {
  return new Promise((resolve) => client.on("end", resolve));
}

/** SQLSTATE class 28; PgBouncer answers 08P01 to a wrong password. */
function isRefusedSecret(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^(28|08P01)/.test(error.code ?? "");
}

function clientConfig({ dsn, operationTimeoutMs, applicationName }: PoolOptions): pg.ClientConfig {
  return {
    ...withTls(dsn.reveal()),
    application_name: shownName(applicationName),
    connectionTimeoutMillis: operationTimeoutMs,
    query_timeout: operationTimeoutMs + graceMs(operationTimeoutMs),
    keepAlive: true,
    keepAliveInitialDelayMillis: PEER_TIMEOUT_MS,
    pipeline: true,
  };
}

/** Usually the server's own time-out comes first: its error says more and leaves the connection usable. */
function graceMs(operationTimeoutMs: number): number {
  return Math.min(500, Math.max(100, operationTimeoutMs / 10));
}

/** Reports an unusable DSN at once; otherwise only a new connection would read it. */
function refuseUnusable(settings: () => pg.ClientConfig): void {
  try {
    new pg.Client(settings());
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
    // Without the cause: pg's message may quote the DSN.
    const reason = error instanceof UnusableDsn ? `: ${error.message}` : code;
    throw new Error(`NOTIFICATION_POSTGRES_PRIMARY_DSN can't be used${reason}`);
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
    const unsuitable = unsuitablePostgresIn(error);
    if (unsuitable !== undefined) throw unsuitable;
    throw new UnsuitablePostgres(`PostgreSQL does not answer: ${describePostgresError(error)}`, {
      cause: error,
      advice: adviceFor(error),
    });
  }
}

function adviceFor(error: unknown): string {
  if (error instanceof Error && error.cause instanceof TlsFailure) {
    return "see that sslrootcert names the authority of the server's certificate, that the certificate is valid for the DSN's host, " +
      "and that the server takes sslcert: docs/deployment.md, TLS";
  }
  const sqlState = error instanceof PostgresConnectionError ? error.code : "";
  if (sqlState.startsWith("28")) {
    return "see that the DSN's role and password are right and pg_hba.conf lets them in (hostssl: with sslmode)";
  }
  if (sqlState === "3D000") return "CREATE DATABASE … ENCODING 'UTF8', as an administrator, or name another in the DSN";
  if (sqlState === "42501") return "GRANT CONNECT ON DATABASE … to the DSN's role, as an administrator";
  return "see that PostgreSQL runs where the DSN points to";
}
