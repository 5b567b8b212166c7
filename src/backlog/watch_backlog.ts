/**
 * The configuration → the backlog's gauges, read over connections of their own: one to PostgreSQL, taken from the pool's
 * number, and one to Redis. No loop waits for the gauges, and they wait for no loop. Only where metrics are exported.
 */
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { openPool } from "../postgres/pool.ts";
import { RedisConnection } from "../redis/connection.ts";
import { backlogReader } from "./backlog.ts";
import { observeBacklog } from "./gauges.ts";

export interface BacklogGauges {
  /** Removes the gauges and closes their connections. Never rejects; takes little more than `boundMs`. */
  close(boundMs: number): Promise<void>;
}

/** Connections to PostgreSQL that the loops have to do without. */
export const GAUGE_CONNECTIONS = 1;

/**
 * @param options.answerMs how long a collection waits for an answer
 * @param options.applicationName the name that PostgreSQL shows for the connection
 */
export function watchBacklog(
  { redis: redisConfig, postgres: postgresConfig, intents: { stream } }: Config,
  { answerMs, applicationName }: { answerMs: number; applicationName: string },
): BacklogGauges {
  const postgres = openPool({ ...postgresConfig, maxOpenConns: GAUGE_CONNECTIONS, applicationName });
  const redis = new RedisConnection(redisConfig, { role: "gauges" });
  // It reconnects by itself; until it is connected the gauges of the intent stream are absent.
  redis.connect().catch(() => {});
  // Half of the time for PostgreSQL's answer, the other half for Redis's.
  const reader = backlogReader({ postgres, redis, stream }, { offsetWaitMs: answerMs / 2 });
  const stop = observeBacklog(reader, { answerMs, clock: systemClock });
  return {
    async close(boundMs) {
      stop();
      await Promise.all([redis.close(), postgres.close(boundMs)]);
    },
  };
}
