/**
 * What an error of Redis means: the one table of this service, by the error code a reply starts with.
 *
 * A reply is about one write, or about the server, which then refuses others as well; no reply at all means that
 * nothing is known about the command.
 */

/** Every failed call of a `RedisConnection` rejects with this. */
export class RedisError extends Error {
  override readonly name = "RedisError";
  /** The reply's error code (`OOM`, `WRONGTYPE`, `ERR`, …); empty where there was no reply. */
  readonly code: string;

  constructor(message: string, options: { readonly code: string; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }
}

/** Answers that say nothing about the write that got them: the server refuses every other as well. */
const REFUSES_ALL_WRITES: ReadonlyMap<string, string> = new Map([
  ["OOM", "maxmemory is reached"],
  ["READONLY", "the server has become a replica"],
  ["MISCONF", "the last snapshot failed and stop-writes-on-bgsave-error is on"],
  ["LOADING", "the server reads its file"],
  ["MASTERDOWN", "a replica without its master"],
  ["NOREPLICAS", "min-replicas-to-write is not met"],
  ["BUSY", "another script keeps the server busy"],
  ["CLUSTERDOWN", "a cluster's slots are not served"],
  ["TRYAGAIN", "a cluster's slot is being moved"],
]);

/** Answers to a call as a whole that an operator's hand mends. Inside a script they are about one command. */
const REFUSES_THE_CALL: ReadonlyMap<string, string> = new Map([
  ["NOAUTH", "the password was changed under the connection"],
  ["WRONGPASS", "the password was changed"],
  ["NOPERM", "the user may not make this call"],
  ["UNBLOCKED", "the server has become a replica during a blocking call"],
]);

/** The first word of an error reply if it is a code, else `ERR`. */
export function replyCode(message: string): string {
  // A script that may not do what it does: 7.0 words it like this, later versions "ACL failure in script".
  if (/^(ERR )?(The user executing the script|ACL failure in script)/.test(message)) return "NOPERM";
  return /^([A-Z][A-Z0-9_]*)(?: |$)/.exec(message)?.[1] ?? "ERR";
}

/** Whether an error reply's text says that the server refuses all writes, not just this one. */
export function refusesAllWrites(message: string): boolean {
  return REFUSES_ALL_WRITES.has(replyCode(message));
}

/** Whether the failure passes by itself or by an operator's hand, so that waiting is right. */
export function isRedisAway(error: RedisError): boolean {
  return error.code === "" || REFUSES_ALL_WRITES.has(error.code) || REFUSES_THE_CALL.has(error.code);
}
