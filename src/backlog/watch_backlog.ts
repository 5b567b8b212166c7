/**
 * The configuration → the backlog's gauges, read over connections of their own: one to PostgreSQL, which counts as part
 * of the pool's size, and one to Redis, which follows the master together with the loops' connections. So no loop waits
 * for the gauges, and the gauges wait for no loop. Used only if metrics are exported.
 */
import { systemClock } from "../clock.ts";
import { openPool, type PoolOptions } from "../postgres/pool.ts";
import { RedisConnection, type RedisSettings } from "../redis/connection.ts";
import type { RedisMaster } from "../redis/master.ts";
import { backlogReader } from "./backlog.ts";
import { observeBacklog } from "./gauges.ts";

/** The sections of the configuration that the gauges need. */
interface WatchedStores {
  readonly redis: RedisSettings;
  readonly postgres: Pick<PoolOptions, "dsn" | "operationTimeoutMs">;
  readonly intents: { readonly stream: string };
}

export interface WatchOptions {
  /** How long a collection waits for an answer. */
  readonly answerMs: number;
  /** The name that PostgreSQL shows for the connection. */
  readonly applicationName: string;
  /** Shared with the loops' connections to Redis. */
  readonly master: RedisMaster;
}

export interface BacklogGauges {
  /** Removes the gauges and closes their connections. Never rejects; takes little more than `boundMs`. */
  close(boundMs: number): Promise<void>;
}

/** The connections to PostgreSQL that the gauges take from the pool's size. */
export const GAUGE_CONNECTIONS = 1;

export function watchBacklog(
  { redis: redisSettings, postgres: postgresSettings, intents: { stream } }: WatchedStores,
  { answerMs, applicationName, master }: WatchOptions,
): BacklogGauges {
  const postgres = openPool({ ...postgresSettings, maxOpenConns: GAUGE_CONNECTIONS, applicationName });
  const redis = new RedisConnection(redisSettings, { role: "gauges", master });
  // The connection is made again by itself; until then the gauges of the intent stream are absent.
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
