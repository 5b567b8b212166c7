/**
 * How much work is waiting: entries of the intent stream without an outcome, and live routes by channel. Read-only.
 *
 * The gauges ask its questions one by one; the command `status` and the supervisor's status line ask them together. A
 * question rejects when its server does not answer.
 */
import type pg from "pg";
import { type Clock, systemClock } from "../clock.ts";
import { within } from "../lifecycle/bounded_wait.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { FirstSeen } from "./first_seen.ts";
import { type IntentBacklog, intentBacklog } from "./intent_backlog.ts";
import { selectMovedOffset } from "./moved_offset.ts";
import { openRepairAgeMs } from "./open_repair.ts";
import { type ByChannel, liveRoutes, oldestDueMs } from "./route_backlog.ts";

export interface BacklogReader {
  intents(): Promise<IntentBacklog>;
  /** Routes `pending` or `failed`, due or not. PostgreSQL counts them, which takes long with millions of routes. */
  depth(): Promise<ByChannel>;
  /** How overdue the most overdue route is, in milliseconds, never below 0. */
  oldestAgeMs(): Promise<ByChannel>;
  /** How long the oldest unfinished repair has been open, in milliseconds; 0 where none is. */
  openRepairAgeMs(): Promise<number>;
}

export interface BacklogStores {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  /** The intent stream's key. */
  readonly stream: string;
}

export interface Backlog {
  readonly intents: IntentBacklog;
  readonly depth: ByChannel;
  readonly oldestAgeMs: ByChannel;
}

/**
 * @param options.offsetWaitMs how long PostgreSQL is asked for the consumer's offset before its copy in Redis is used
 * instead; without this option `intents()` rejects while PostgreSQL does not answer
 * @param options.clock times entries whose ids are ahead of the clock
 */
export function backlogReader(
  { postgres, redis, stream }: BacklogStores,
  { offsetWaitMs, clock = systemClock }: { offsetWaitMs?: number; clock?: Clock } = {},
): BacklogReader {
  const seen = new FirstSeen();
  return {
    async intents() {
      const asked = selectMovedOffset(postgres, stream);
      const offset = await (offsetWaitMs === undefined ? asked : within(offsetWaitMs, asked));
      return await intentBacklog(redis, { stream, offset, seen, atMs: clock.monotonic() });
    },
    depth: () => liveRoutes(postgres),
    oldestAgeMs: () => oldestDueMs(postgres),
    openRepairAgeMs: () => openRepairAgeMs(postgres),
  };
}

export async function readBacklog(stores: BacklogStores): Promise<Backlog> {
  const reader = backlogReader(stores);
  const [intents, depth, oldestAgeMs] = await Promise.all([reader.intents(), reader.depth(), reader.oldestAgeMs()]);
  return { intents, depth, oldestAgeMs };
}
