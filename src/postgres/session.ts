/**
 * What every session is set to before its first statement, whatever the DSN, the role and the database say.
 *
 * By a statement and not as start-up parameters, which session poolers refuse.
 */
import type pg from "pg";

export interface SessionOptions {
  /** Bound of one statement on the server. */
  readonly operationTimeoutMs: number;
  /** The server shows 63 characters: `program/` at its beginning, then the end. */
  readonly applicationName: string;
}

/**
 * How long a peer may hold rows without a sign of life: a process that is paused (its transaction is idle) or a host
 * that vanished (what is sent is not acknowledged). A Unix socket has no use for the second and takes it silently.
 */
export const PEER_TIMEOUT_MS = 10_000;
const MAX_APPLICATION_NAME = 63;

export interface Session {
  /** The id of the server's process, behind a pooler too. */
  readonly pid: number;
  /** Names the server in this life: another text after every start, promotion and restore. */
  readonly server: string;
}

/** SQL for {@link Session.server}: the timeline of the write-ahead log, which a standby has none of, and the time of the start. */
export const SERVER_SQL = `concat_ws(' ',
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
  extract(epoch FROM pg_postmaster_start_time()))`;

export async function setUpSession(client: pg.ClientBase, options: SessionOptions): Promise<Session> {
  const settings = settingsOf(options);
  // One that an old server doesn't know is left out, so that checkServer can say that it is old.
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
    // A little earlier, so that waiting for a lock (55P03) is distinguished from being slow (57014).
    lock_timeout: String(Math.max(1, Math.floor(operationTimeoutMs * 0.8))),
    idle_in_transaction_session_timeout: String(PEER_TIMEOUT_MS),
    tcp_user_timeout: String(PEER_TIMEOUT_MS),
    // A host that vanished while its session was idle; the system's own defaults are hours.
    tcp_keepalives_idle: String(PEER_TIMEOUT_MS / 1000),
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
    // Every statement has its bound, and the pool closes what is idle; a migration takes its time.
    transaction_timeout: "0",
    idle_session_timeout: "0",
    // Where it is off, as it may be on a role, what was acknowledged is lost with the server. Other values are the operator's.
    synchronous_commit: "on",
    // What the stages' SQL and pg's reading of times rely on.
    default_transaction_isolation: "read committed",
    TimeZone: "UTC",
    DateStyle: "ISO",
    // Every statement has its index. A plan made while a table was small, and kept, must not scan it once it is large; the
    // cost that the planner then puts on a scan would set off its compiler, which these statements don't repay.
    enable_seqscan: "off",
    jit: "off",
  };
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
