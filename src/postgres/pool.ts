/**
 * The pool of connections to PostgreSQL, on which every wait has an end: on the server by the session's settings, here
 * by pg's time-outs. A connection on which an answer is overdue is destroyed.
 *
 * Statements of one connection may be sent without waiting for each other's answers (pg's pipeline mode).
 */
import pg from "pg";

export interface PoolOptions {
  readonly dsn: { reveal(): string };
  readonly operationTimeoutMs: number;
  readonly maxOpenConns: number;
  /** Its last 63 bytes are what the server shows. */
  readonly applicationName: string;
}

/**
 * What a dead or paused peer may hold up: the rows that a publisher has claimed. A host that vanished is noticed by
 * unacknowledged data, a paused process by its idle transaction.
 */
const PEER_TIMEOUT_MS = 10_000;
/** How much longer than the server the client waits: the server's own error says more. */
const CLIENT_GRACE_MS = 500;

export function openPool({ dsn, operationTimeoutMs, maxOpenConns, applicationName }: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: dsn.reveal(),
    application_name: applicationName.slice(-63),
    max: maxOpenConns,
    connectionTimeoutMillis: operationTimeoutMs,
    query_timeout: operationTimeoutMs + CLIENT_GRACE_MS,
    keepAlive: true,
    idleTimeoutMillis: 60_000,
    pipeline: true,
    // Not as start-up parameters, which a session pooler refuses.
    onConnect: async (client: pg.ClientBase) => {
      await client.query(
        `SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $1, false),
          set_config('idle_in_transaction_session_timeout', $2, false), set_config('tcp_user_timeout', $2, false),
          set_config('timezone', 'UTC', false)`,
        [String(operationTimeoutMs), String(PEER_TIMEOUT_MS)],
      );
    },
  } as pg.PoolConfig);
  // Whoever uses the connection gets the error too; without a listener it would end the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

export class UnsuitablePostgres extends Error {
  override readonly name = "UnsuitablePostgres";
}

/** @throws UnsuitablePostgres when the server is older than 14 or does not take writes */
export async function checkServer(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ version: number; shown: string; standby: boolean; read_only: boolean }>(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS shown,
      pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::bool AS read_only`,
  );
  const { version, shown, standby, read_only } = rows[0]!;
  if (version < 140_000) throw new UnsuitablePostgres(`PostgreSQL 14 or newer is needed, this is ${shown}`);
  if (standby) throw new UnsuitablePostgres("A primary is needed, this server is a standby");
  if (read_only) throw new UnsuitablePostgres("The server takes no writes: default_transaction_read_only is on");
}
