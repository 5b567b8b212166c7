/**
 * What an error of Redis means: the one table of this service, by the error code that a reply starts with.
 *
 * For a loop every failed call is an outage, whatever Redis answered. The table is for the hand-off script, which meets errors
 * for each route: such a reply is about this one write, or about the server, which then refuses all others as well.
 */

/** Every failed call of a `RedisConnection` rejects with this, except with an exception of JavaScript's own: a defect. */
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

/** The first word of an error reply if it is a code, else `ERR`. */
export function replyCode(message: string): string {
  // A script that may not do what it does: 7.0 words it like this, later versions "ACL failure in script".
  if (/^(ERR )?(The user executing the script|ACL failure in script)/.test(message)) return "NOPERM";
  return /^([A-Z][A-Z0-9_]*)(?: |$)/.exec(message)?.[1] ?? "ERR";
}

/** Whether an error reply, or its code, says that the server refuses all writes, not just this one. */
export function refusesAllWrites(message: string): boolean {
  return REFUSES_ALL_WRITES.has(replyCode(message));
}
