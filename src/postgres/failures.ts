/**
 * What an error of PostgreSQL means: the one table of this service, by SQLSTATE.
 *
 * `away`: it passes by itself or by an operator's hand, so that waiting is right. `data`: this very statement can never
 * succeed with these values. Everything else is a defect of ours.
 */
import pg from "pg";

export type PostgresFailure = "away" | "data" | "unexpected";

/** By the longest prefix of the SQLSTATE, each with its reason. */
const MEANINGS: readonly (readonly [prefix: string, meaning: PostgresFailure, reason: string])[] = [
  ["08", "away", "the connection failed"],
  ["22", "data", "a value the type can't hold"],
  ["23", "data", "a constraint forbids the row"],
  ["25006", "away", "the server has become a standby"],
  ["25P03", "away", "the transaction was idle for too long: this process was paused"],
  ["28", "away", "the password was changed, or pg_hba.conf; mended by an operator"],
  ["3D000", "away", "the database is being restored under its name"],
  ["40", "away", "a deadlock or a serialization failure: the same again succeeds"],
  ["53", "away", "out of connections, memory or disk"],
  ["54", "data", "a value larger than an index or a row takes"],
  ["55P03", "away", "a lock could not be had in time"],
  ["57014", "away", "the statement ran past its time, or was cancelled"],
  ["57P", "away", "the server shuts down, starts, or has crashed"],
  ["58030", "away", "the server's disk failed"],
];

/** What pg's own errors about the connection say; they carry no SQLSTATE. */
const CONNECTION_MESSAGES = [
  "Query read timeout",
  "timeout exceeded when trying to connect",
  "timeout expired",
  "Connection terminated",
  "Client has encountered a connection error",
  "Client was closed and is not queryable",
  "Cannot use a pool after calling end on the pool",
  "The server does not support SSL connections",
];

/** Codes of the operating system's errors about a socket. */
const SOCKET_CODE = /^E(AI_AGAIN|CONN|PIPE|HOST|NET|TIMEDOUT|NOTFOUND|ADDRNOTAVAIL|NOENT)/;

export function postgresFailure(error: unknown): PostgresFailure {
  if (!(error instanceof Error)) return "unexpected";
  if (error instanceof AggregateError) return error.errors.every((part) => postgresFailure(part) === "away") ? "away" : "unexpected";
  const code = codeOf(error);
  if (error instanceof pg.DatabaseError) {
    const known = MEANINGS.filter(([prefix]) => code.startsWith(prefix)).sort((a, b) => b[0].length - a[0].length)[0];
    return known?.[1] ?? "unexpected";
  }
  if (SOCKET_CODE.test(code)) return "away";
  return CONNECTION_MESSAGES.some((message) => error.message.includes(message)) ? "away" : "unexpected";
}

/** For logs: the message with its SQLSTATE. PostgreSQL's messages and pg's never hold the password or the DSN. */
export function describePostgresError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describePostgresError).join("; ");
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  return code === "" ? error.message : `${error.message || "no message"} (${code})`;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
