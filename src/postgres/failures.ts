/**
 * What an error of PostgreSQL means, in one table by SQLSTATE, and its description for a log. Pure; never throws.
 *
 * Every error from PostgreSQL, a pooler, a socket, TLS or name resolution is an outage, except an error about the data
 * of the statement. `client.ts` and `pool.ts` reject with pg's `DatabaseError` if PostgreSQL answered to a statement,
 * with {@link PostgresConnectionError} if anything else went wrong, and pass on exceptions of JavaScript's own.
 */
// @ts-types="@types/pg"
import pg from "pg";

/** `data`: the statement can never succeed with these values. `outage`: the caller has to wait and try again. */
export type PostgresFailure = "outage" | "data";

/** The connection to PostgreSQL failed, or a statement got no answer; the `cause` is the reason. */
export class PostgresConnectionError extends Error {
  override readonly name = "PostgresConnectionError";
  /** The cause's SQLSTATE or system code; empty if it has none. */
  readonly code: string;

  constructor(cause: unknown) {
    super(describePostgresError(cause), { cause });
    this.code = cause instanceof Error ? codeOf(cause) : "";
  }
}

interface Meaning {
  /** The first characters of the SQLSTATE; the longest match counts. */
  readonly sqlState: string;
  /** `undefined`: an outage, like every code that is not listed. */
  readonly isData?: true;
  /** The session has ended or lacks something; a new connection does not. */
  readonly isConnectionReplaced?: true;
  readonly reason: string;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const SQL_STATES: readonly Meaning[] = [
  { sqlState: "08", isConnectionReplaced: true, reason: "the connection failed, or a pooler lost its server" },
  { sqlState: "0A000", isConnectionReplaced: true, reason: "a prepared statement's result has another type since DDL" },
  { sqlState: "22", isData: true, reason: "a value that its type can't hold" },
  { sqlState: "23", isData: true, reason: "a constraint forbids the row" },
  { sqlState: "25006", isConnectionReplaced: true, reason: "the server has become a standby: another may be primary" },
  { sqlState: "25P03", isConnectionReplaced: true, reason: "the transaction was idle for too long: the session ended" },
  { sqlState: "25P04", isConnectionReplaced: true, reason: "transaction_timeout: the session ended" },
  { sqlState: "26000", isConnectionReplaced: true, reason: "the pooler's server does not have the prepared statement" },
  { sqlState: "42P05", isConnectionReplaced: true, reason: "the pooler's server already has the prepared statement" },
  { sqlState: "57P", isConnectionReplaced: true, reason: "the server shuts down, starts up, or ended the session" },
  { sqlState: "XX", isConnectionReplaced: true, reason: "an internal error, or an error of a pooler" },
];

/**
 * SQLSTATE 54000 means that a limit was reached, either one of the server (it assigns no more transaction ids) or one
 * of a value. The function that reports the error distinguishes them; unlike the message it is not translated, and
 * poolers pass it on. Not listed are 54001 (stack depth, which our values can't reach: they are at most 100 deep),
 * 54011 and 54023 (columns and arguments of a statement). If a later version renames one of these functions, its error
 * counts as an outage.
 */
const ROUTINES_ABOUT_A_VALUE: ReadonlyMap<string, string> = new Map([
  ["RelationGetBufferForTuple", "a row larger than a page"],
  ["index_form_tuple", "an index row larger than an index tuple (PostgreSQL 14 and 15)"],
  ["index_form_tuple_context", "an index row larger than an index tuple"],
  ["_bt_check_third_page", "a value too large for a B-tree index"],
  ["_hash_doinsert", "a value too large for a hash index"],
  ["GinFormTuple", "a value too large for a GIN index"],
  ["gistSplit", "a value too large for a GiST index"],
  ["spgdoinsert", "a value too large for an SP-GiST index"],
  ["brin_doinsert", "a value too large for a BRIN index"],
  ["brin_doupdate", "a value too large for a BRIN index"],
  ["checkStringLen", "a string too long for jsonb"],
  ["convertJsonbArray", "an array too large for jsonb"],
  ["convertJsonbObject", "an object too large for jsonb"],
  ["make_tsvector", "a text too long for a text search index"],
]);

/** `undefined` if the error is not from PostgreSQL. Of an error of ours the cause counts. */
export function postgresFailure(error: unknown): PostgresFailure | undefined {
  if (error instanceof PostgresConnectionError) return "outage";
  if (error instanceof pg.DatabaseError) return isAboutData(error) ? "data" : "outage";
  return error instanceof Error && error.cause !== undefined ? postgresFailure(error.cause) : undefined;
}

function isAboutData({ code = "", routine = "" }: pg.DatabaseError): boolean {
  if (code === "54000") return ROUTINES_ABOUT_A_VALUE.has(routine);
  return meaningOf(code)?.isData ?? false;
}

/**
 * Whether the connection can run the next statement: PostgreSQL answered, did not end the session, and the session
 * lacks nothing.
 */
export function leavesConnectionUsable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code !== undefined && !meaningOf(error.code)?.isConnectionReplaced;
}

function meaningOf(sqlState: string): Meaning | undefined {
  let found: Meaning | undefined;
  for (const meaning of SQL_STATES) {
    const isLonger = meaning.sqlState.length > (found?.sqlState.length ?? 0);
    if (isLonger && sqlState.startsWith(meaning.sqlState)) found = meaning;
  }
  return found;
}

/**
 * The message, without a code, with which pg ends a statement that the server's own time-out should have ended before.
 */
const READ_TIMEOUT = "Query read timeout";

/** Whether a statement took longer than its bound, so that the same statement would again. */
export function ranPastItsTime(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return error.code === "57014";
  return error instanceof PostgresConnectionError && error.message === READ_TIMEOUT;
}

const MAX_DESCRIPTION = 500;

/**
 * One line for a log: what went wrong, with its code. It contains no password and no DSN: in an error that is not the
 * server's, everything from a URL or a `password=` on is left out. It contains no values of rows, because `detail` is
 * not used.
 */
export function describePostgresError(error: unknown): string {
  return oneLine(plainDescription(error));
}

function plainDescription(error: unknown): string {
  if (!(error instanceof Error)) return withoutSecrets(String(error));
  if (error instanceof PostgresConnectionError) return error.message;
  if (error instanceof pg.DatabaseError) {
    const { code, table, constraint } = error;
    const details = [code, table && `table ${table}`, constraint && `constraint ${constraint}`].filter(Boolean);
    return `${withoutSecrets(error.message)} (${details.join(", ")})`;
  }
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(plainDescription))].join("; ");
  }
  const code = codeOf(error);
  const message = withoutSecrets(error.message) || error.name;
  return code === "" || message.includes(code) ? message : `${message} (${code})`;
}

function withoutSecrets(message: string): string {
  // Everything to the end, because a password may contain spaces, quotes and line ends.
  return message.replace(/(\b[a-z][a-z0-9+.-]*:\/\/|\bpassword\s*=).*$/is, "[redacted]");
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= MAX_DESCRIPTION ? line : `${line.slice(0, MAX_DESCRIPTION - 1)}…`;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
