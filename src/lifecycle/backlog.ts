/**
 * How much work waits: in the intent stream, and as live routes by channel. Read from Redis and PostgreSQL, by whoever
 * wants to tell an operator of it; changes nothing.
 */
import type pg from "pg";
import { type Channel, CHANNELS } from "../notification/route.ts";
import type { RedisConnection } from "../redis/connection.ts";

export interface StreamBacklog {
  /** Entries that have no outcome yet. */
  readonly lag: number;
  /** The first of them. */
  readonly nextEntryId: string | null;
}

export interface ChannelBacklog {
  /** Routes `pending` or `failed`, due or not. */
  readonly depth: number;
  /** How overdue the most overdue one is, never below 0. */
  readonly oldestAgeMs: number;
}

export interface Backlog {
  readonly stream: StreamBacklog;
  readonly channels: Readonly<Record<Channel, ChannelBacklog>>;
}

export interface BacklogSource {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly stream: string;
}

export async function readBacklog(source: BacklogSource): Promise<Backlog> {
  const [stream, channels] = await Promise.all([readStreamBacklog(source), readChannelBacklogs(source)]);
  return { stream, channels };
}

async function readStreamBacklog({ postgres, redis, stream }: BacklogSource): Promise<StreamBacklog> {
  const { rows } = await postgres.query<{ entry_id: string; entries_read: string }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  const place = rows[0];
  if (await redis.call("TYPE", stream) !== "stream") return { lag: 0, nextEntryId: null };
  const [info, next] = await Promise.all([
    redis.call("XINFO", "STREAM", stream),
    redis.call("XRANGE", stream, `(${place?.entry_id ?? "0-0"}`, "+", "COUNT", 1),
  ]);
  const nextEntryId = (next as [string, unknown][])[0]?.[0] ?? null;
  const state = pairsOf(info as unknown[]);
  const length = Number(state.get("length"));
  const gone = Number(state.get("entries-added")) - length;
  // The ordinal of the place, where it is known and is this stream's; what is gone unread is no work any more.
  const read = place === undefined ? gone : Math.max(gone, Number(place.entries_read));
  const lag = nextEntryId === null ? 0 : Math.min(length, Math.max(1, gone + length - read));
  return { lag, nextEntryId };
}

async function readChannelBacklogs({ postgres }: BacklogSource): Promise<Backlog["channels"]> {
  const { rows } = await postgres.query<{ channel: Channel; depth: string; oldest_age_ms: number }>(
    `SELECT channel, count(*) AS depth,
       floor(greatest(0, extract(epoch FROM now() - min(next_attempt_at)) * 1000))::float8 AS oldest_age_ms
     FROM notification.routes WHERE next_attempt_at IS NOT NULL GROUP BY channel`,
  );
  const channels: Record<Channel, ChannelBacklog> = {
    push: { depth: 0, oldestAgeMs: 0 },
    email: { depth: 0, oldestAgeMs: 0 },
  };
  for (const { channel, depth, oldest_age_ms } of rows) {
    if (CHANNELS.includes(channel)) channels[channel] = { depth: Number(depth), oldestAgeMs: oldest_age_ms };
  }
  return channels;
}

/** A reply of names and values in turn. */
export function pairsOf(reply: readonly unknown[]): Map<string, unknown> {
  const pairs = new Map<string, unknown>();
  for (let at = 0; at + 1 < reply.length; at += 2) pairs.set(String(reply[at]), reply[at + 1]);
  return pairs;
}
