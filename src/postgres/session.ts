/**
 * The settings of every session before its first statement, whatever the DSN, the role and the database set.
 *
 * They are set by a statement, because session poolers refuse start-up parameters.
 */
import type pg from "pg";

export interface SessionOptions {
  /** Bound of one statement on the server. */
  readonly operationTimeoutMs: number;
  /** The server shows 63 characters: `program/` from the beginning, then the end of the name. */
  readonly applicationName: string;
}

/**
 * How long a peer may lock rows without a sign of life: a paused process (its transaction is idle) or a lost host (what
 * the server sends is not acknowledged). On a Unix socket the second setting has no effect.
 */
export const PEER_TIMEOUT_MS = 10_000;
const MAX_APPLICATION_NAME = 63;

export interface Session {
  /** The id of the server's process, also behind a pooler. */
  readonly pid: number;
  /** Identifies the server until its next start: the text changes with every start, promotion and restore. */
  readonly server: string;
}

/**
 * SQL for {@link Session.server}: the timeline of the write-ahead log (a standby has none), and the time of the start.
 */
export const SERVER_SQL = `concat_ws(' ',
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
  extract(epoch FROM pg_postmaster_start_time()))`;

export async function setUpSession(client: pg.ClientBase, options: SessionOptions): Promise<Session> {
  const settings = settingsOf(options);
  // A setting that an old server does not know is left out, so that checkServer can report the old version.
  const { rows } = await client.query<Session>(
    `SELECT pg_backend_pid() AS pid, ${SERVER_SQL} AS server, count(set_config(name, value, false))
     FROM unnest($1::text[], $2::text[]) AS setting (name, value)
     WHERE current_setting(name, true) IS NOT NULL
       AND (name <> 'synchronous_commit' OR current_setting(name) = 'off')`,
    [Object.keys(settings), Object.values(settings)],
  );
  return rows[0]!;
}

function settingsOf({ operationTimeoutMs, applicationName }: SessionOptions): Readonly<Record<string, string>> {
  return {
    application_name: shownName(applicationName),
    statement_timeout: String(operationTimeoutMs),
    // A little less, so that the error shows whether the statement waited for a lock (55P03) or was slow (57014).
    lock_timeout: String(Math.max(1, Math.floor(operationTimeoutMs * 0.8))),
    idle_in_transaction_session_timeout: String(PEER_TIMEOUT_MS),
    tcp_user_timeout: String(PEER_TIMEOUT_MS),
    // For a host that is lost while its session is idle; the system's own defaults are hours.
    tcp_keepalives_idle: String(PEER_TIMEOUT_MS / 1000),
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
    // Every statement has its own bound, and the pool closes idle connections; a migration may take long.
    transaction_timeout: "0",
    idle_session_timeout: "0",
    // If a role sets it to `off`, a crash of the server loses acknowledged commits. Other values are left to the
    // operator.
    synchronous_commit: "on",
    // The SQL of the stages and pg's parsing of times rely on these.
    default_transaction_isolation: "read committed",
    TimeZone: "UTC",
    DateStyle: "ISO",
    // Every statement has an index. A plan that was made while a table was small, and is kept, must not scan the table
    // once it is large. The planner then puts such a high cost on scans that it would start its compiler, which costs
    // these statements more than it saves.
    enable_seqscan: "off",
    jit: "off",
  };
}

/**
 * The name as PostgreSQL shows it: 63 bytes of printable ASCII. Of a longer name the program, up to a slash, and the
 * end of the instance's id are kept.
 */
export function shownName(name: string): string {
  const shown = name.replace(/[^\x20-\x7e]/gu, "?");
  if (shown.length <= MAX_APPLICATION_NAME) return shown;
  const [program = ""] = /^[^/]{1,30}\//.exec(shown) ?? [];
  return program + shown.slice(-(MAX_APPLICATION_NAME - program.length));
}
