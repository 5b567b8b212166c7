/**
 * How much work waits: in the intent stream, and as live routes by channel. For whoever tells an operator of it; changes
 * nothing.
 */
import type pg from "pg";
import { type IntentBacklog, intentBacklog } from "./intent_backlog.ts";
import { selectOffset } from "../stream_offset/stream_offset.ts";
import type { Channel } from "../notification/route.ts";
import { liveRoutes, oldestDueMs } from "./route_backlog.ts";
import type { RedisConnection } from "../redis/connection.ts";

export interface Backlog {
  readonly intents: IntentBacklog;
  /** Routes `pending` or `failed`, due or not. */
  readonly depth: Readonly<Record<Channel, number>>;
  /** How overdue the most overdue route is, in milliseconds, never below 0. */
  readonly oldestAgeMs: Readonly<Record<Channel, number>>;
}

export async function readBacklog(
  { postgres, redis, stream }: { postgres: pg.Pool; redis: RedisConnection; stream: string },
): Promise<Backlog> {
  const [place, depth, oldestAgeMs] = await Promise.all([
    selectOffset(postgres, stream),
    liveRoutes(postgres),
    oldestDueMs(postgres),
  ]);
  return { intents: await intentBacklog(redis, { stream, place }), depth, oldestAgeMs };
}
