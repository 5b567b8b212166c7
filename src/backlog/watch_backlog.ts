/**
 * Watches what waits, on connections of its own: one to PostgreSQL, taken from the pool's number, and one to Redis. The
 * loops wait for none of it, and it waits for no loop. Only where metrics are exported.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { intentBacklog } from "./intent_backlog.ts";
import { selectOffset } from "../stream_offset/stream_offset.ts";
import { openPool } from "../postgres/pool.ts";
import { liveRoutes, oldestDueMs } from "./route_backlog.ts";
import { RedisConnection } from "../redis/connection.ts";
import { observeBacklog } from "./gauges.ts";
import { within } from "./sparingly.ts";

export interface BacklogGauges {
  /** Ends it; never rejects, and is over after `boundMs` or little more. */
  close(boundMs: number): Promise<void>;
}

/** Connections to PostgreSQL that the loops have to do without. */
export const GAUGE_CONNECTIONS = 1;
/**
 * @param options.answerMs how long a collection waits for an answer
 * @param options.applicationName what PostgreSQL shows
 */
export function watchBacklog(
  { redis, postgres, intents }: Config,
  { answerMs, applicationName }: { answerMs: number; applicationName: string },
): BacklogGauges {
  const pool = openPool({ ...postgres, maxOpenConns: GAUGE_CONNECTIONS, applicationName });
  const connection = new RedisConnection(redis, { role: "gauges" });
  // It goes on trying by itself, and until it is there the gauge is absent.
  connection.connect().catch(() => {});
  const { stream } = intents;
  const stop = observeBacklog({
    oldestDueMs: () => oldestDueMs(pool),
    liveRoutes: () => unlessTooSlow(liveRoutes(pool)),
    // Half of the time for PostgreSQL's word on the place; without it the copy in Redis is taken.
    intentBacklog: async () =>
      await intentBacklog(connection, { stream, place: await within(answerMs / 2, selectOffset(pool, stream)) }),
  }, { answerMs, clock: systemClock });
  return {
    async close(boundMs) {
      stop();
      await Promise.all([connection.close(), pool.close(boundMs)]);
    },
  };
}

/** PostgreSQL's own word that it has worked on the statement for as long as it may. */
async function unlessTooSlow<Value>(answer: Promise<Value>): Promise<Value | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === "57014") return undefined;
    throw error;
  }
}
