/**
 * What an error of Redis means, by the error code at the beginning of the reply.
 *
 * For a loop every failed call is an outage, whatever Redis answered. The table is for the hand-off script, which gets
 * an error for each route: the error is about this one write, or about the server, which then refuses all writes.
 */

/**
 * Every failed call of a `RedisConnection` rejects with this error; only a defect rejects with an exception of
 * JavaScript's own.
 */
export class RedisError extends Error {
  override readonly name = "RedisError";
  /** The reply's error code (`OOM`, `WRONGTYPE`, `ERR`, …); empty if there was no reply. */
  readonly code: string;

  constructor(message: string, options: { readonly code: string; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }
}

/** Answers that are not about the one write: the server refuses every other write as well. */
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

/** The first word of an error reply if it is a code, otherwise `ERR`. */
export function replyCode(message: string): string {
  // The user may not run a command of the script: Redis 7.0 uses the first text, later versions "ACL failure in
  // script".
  if (/^(ERR )?(The user executing the script|ACL failure in script)/.test(message)) return "NOPERM";
  return /^([A-Z][A-Z0-9_]*)(?: |$)/.exec(message)?.[1] ?? "ERR";
}

/** Whether an error reply, or its code, says that the server refuses all writes, not just this one. */
export function refusesAllWrites(message: string): boolean {
  return REFUSES_ALL_WRITES.has(replyCode(message));
}
