/**
 * What an error of PostgreSQL means, in one table, and how to put it into a log. Pure; never throws.
 *
 * `away`: it passes by itself or by an operator's hand on the server, so waiting is right. `data`: this statement can
 * never succeed with these values. `unexpected`: a defect of ours or of the set-up.
 */
// @ts-types="@types/pg"
import pg from "pg";

export type PostgresFailure = "away" | "data" | "unexpected";

interface Meaning {
  /** The first characters of the SQLSTATE; the longest that fits counts. */
  readonly sqlState: string;
  readonly failure: PostgresFailure;
  readonly reason: string;
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const SQL_STATES: readonly Meaning[] = [
  { sqlState: "08", failure: "away", reason: "the connection failed, or a pooler can't reach its server" },
  { sqlState: "22", failure: "data", reason: "a value that its type can't hold" },
  { sqlState: "23", failure: "data", reason: "a constraint forbids the row" },
  { sqlState: "25006", failure: "away", reason: "the server takes no writes: it has become a standby" },
  { sqlState: "25P03", failure: "away", reason: "the transaction was idle for too long: this process was paused" },
  { sqlState: "25P04", failure: "away", reason: "the transaction ran past the server's bound" },
  {
    sqlState: "28",
    failure: "away",
    reason: "password or pg_hba.conf were changed; connections that exist still work",
  },
  { sqlState: "3D000", failure: "away", reason: "the database is gone, as while it is restored" },
  { sqlState: "40", failure: "away", reason: "a deadlock or a serialization failure: the same again succeeds" },
  { sqlState: "53", failure: "away", reason: "out of connections, memory or disk" },
  { sqlState: "54", failure: "data", reason: "a value larger or deeper than PostgreSQL takes" },
  { sqlState: "55P03", failure: "away", reason: "a lock was not to be had in time" },
  { sqlState: "57014", failure: "away", reason: "the statement ran past its bound, or an operator cancelled it" },
  { sqlState: "57P", failure: "away", reason: "the server shuts down, starts up, or has crashed" },
  { sqlState: "58", failure: "away", reason: "the server's disk or operating system failed" },
];

/** The beginnings of what pg and pg-pool say about a connection; these errors carry no code at all. */
const CONNECTION_MESSAGES: readonly string[] = [
  "Query read timeout",
  "timeout exceeded when trying to connect",
  "timeout expired",
  "Connection terminated",
  "Client has encountered a connection error and is not queryable",
  "Client was closed and is not queryable",
  "Cannot use a pool after calling end on the pool",
  "The server does not support SSL connections",
  "There was an error establishing an SSL connection",
];

/** Of sockets and name look-ups. ENOENT is a Unix socket whose server is down. */
const SOCKET_CODES: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "ENOTCONN", "ENOENT", "EADDRNOTAVAIL"],
  ...["EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET", "ENOTFOUND", "EAI_AGAIN"],
]);

/** Looks through to the cause where the error itself says nothing about PostgreSQL. */
export function postgresFailure(error: unknown): PostgresFailure {
  if (!(error instanceof Error)) return "unexpected";
  if (error instanceof pg.DatabaseError) return failureOf(error.code ?? "");
  if (SOCKET_CODES.has(codeOf(error))) return "away";
  if (CONNECTION_MESSAGES.some((message) => error.message.startsWith(message))) return "away";
  // One error for each address of a host name that was tried.
  if (error instanceof AggregateError && error.errors.some((part) => postgresFailure(part) === "away")) return "away";
  return error.cause === undefined ? "unexpected" : postgresFailure(error.cause);
}

function failureOf(sqlState: string): PostgresFailure {
  let found: Meaning | undefined;
  for (const meaning of SQL_STATES) {
    const isLonger = meaning.sqlState.length > (found?.sqlState.length ?? 0);
    if (isLonger && sqlState.startsWith(meaning.sqlState)) found = meaning;
  }
  return found?.failure ?? "unexpected";
}

const MAX_DESCRIPTION = 500;

/** Whether a statement took longer than its time, so that the same again would too. */
export function ranPastItsTime(error: unknown): boolean {
  return error instanceof pg.DatabaseError
    ? error.code === "57014"
    : error instanceof Error && error.message === "Query read timeout";
}

/**
 * One line for a log: what went wrong, with its code. Holds no password and no DSN, whatever the error's message: of an
 * error that isn't the server's, everything from a URL or a `password=` on is left out. Values of rows are left out too,
 * since `detail` is not used.
 */
export function describePostgresError(error: unknown): string {
  return oneLine(plainDescription(error));
}

function plainDescription(error: unknown): string {
  if (!(error instanceof Error)) return withoutSecrets(String(error));
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
  // To the end: a password may hold spaces, quotes and line ends.
  return message.replace(/(\b[a-z][a-z0-9+.-]*:\/\/|\bpassword\s*=).*$/is, "[redacted]");
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= MAX_DESCRIPTION ? line : `${line.slice(0, MAX_DESCRIPTION - 1)}…`;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
