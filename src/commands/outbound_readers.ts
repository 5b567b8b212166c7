/** An outbound stream → its consumer groups, each with the consumer that was seen last. Only reads. */
import type { RedisConnection } from "../redis/connection.ts";

export interface Reader {
  readonly stream: string;
  readonly groups: readonly Group[];
}

interface Group {
  readonly name: string;
  readonly consumers: number;
  readonly pending: number;
  /** Entries not yet delivered to the group; null if Redis does not know. */
  readonly lag: number | null;
  readonly last_delivered_id: string;
  /** `idle_ms`: the time since it last asked for entries. */
  readonly last_reader: { readonly name: string; readonly idle_ms: number } | null;
}

export async function readersOf(redis: RedisConnection, stream: string): Promise<Reader> {
  if (await redis.call("TYPE", stream) !== "stream") return { stream, groups: [] };
  const groups = await redis.call("XINFO", "GROUPS", stream) as unknown[][];
  return { stream, groups: await Promise.all(groups.map((group) => groupOf(redis, stream, pairsOf(group)))) };
}

async function groupOf(redis: RedisConnection, stream: string, group: ReadonlyMap<string, unknown>): Promise<Group> {
  const name = String(group.get("name"));
  const consumers = (await redis.call("XINFO", "CONSUMERS", stream, name) as unknown[][]).map(pairsOf);
  const lag = group.get("lag");
  let last: Group["last_reader"] = null;
  for (const consumer of consumers) {
    const idleMs = Number(consumer.get("idle"));
    if (last === null || idleMs < last.idle_ms) last = { name: String(consumer.get("name")), idle_ms: idleMs };
  }
  return {
    name,
    consumers: consumers.length,
    pending: Number(group.get("pending")),
    lag: typeof lag === "number" ? lag : null,
    last_delivered_id: String(group.get("last-delivered-id")),
    last_reader: last,
  };
}

/** A reply of names and values in turn. */
function pairsOf(reply: readonly unknown[]): Map<string, unknown> {
  const pairs = new Map<string, unknown>();
  for (let at = 0; at + 1 < reply.length; at += 2) pairs.set(String(reply[at]), reply[at + 1]);
  return pairs;
}
