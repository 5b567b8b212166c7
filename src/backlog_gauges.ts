/**
 * Watches what waits, on connections of its own: one to PostgreSQL, taken from the pool's number, and one to Redis. The
 * loops wait for none of it, and it waits for no loop. Only where metrics are exported.
 */
import { systemClock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import { intentBacklog } from "./intake/intent_backlog.ts";
import { selectPlace } from "./intake/stream_offset.ts";
import { openPool } from "./postgres/pool.ts";
import { liveRoutes, oldestDueMs } from "./publish/schedule.ts";
import { RedisConnection } from "./redis/connection.ts";
import { observeBacklog } from "./telemetry/gauges.ts";
import { within } from "./telemetry/sparingly.ts";

export interface BacklogGauges {
  /** Ends it; never rejects, and is over after `boundMs` or little more. */
  close(boundMs: number): Promise<void>;
}

/** Connections to PostgreSQL that the loops have to do without. */
export const GAUGE_CONNECTIONS = 1;
/** For PostgreSQL's answer about the place, after which the copy in Redis is taken. */
const PLACE_MS = 500;

/** @param applicationName what PostgreSQL shows */
export function watchBacklog({ redis, postgres, intents }: Config, applicationName: string): BacklogGauges {
  const pool = openPool({ ...postgres, maxOpenConns: GAUGE_CONNECTIONS, applicationName });
  const connection = new RedisConnection(redis, { role: "gauges" });
  // It goes on trying by itself, and until it is there the gauge is absent.
  connection.connect().catch(() => {});
  const { stream } = intents;
  const stop = observeBacklog({
    oldestDueMs: () => oldestDueMs(pool),
    liveRoutes: () => liveRoutes(pool),
    intentBacklog: async () =>
      await intentBacklog(connection, { stream, place: await within(PLACE_MS, selectPlace(pool, stream)) }),
  }, systemClock);
  return {
    async close(boundMs) {
      stop();
      await Promise.all([connection.close(), pool.close(boundMs)]);
    },
  };
}
