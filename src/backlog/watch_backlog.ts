/**
 * The configuration → the backlog's gauges, read over connections of their own: one to PostgreSQL, taken from the pool's
 * number, and one to Redis, which follows the master together with the loops' connections. No loop waits for the gauges, and
 * they wait for no loop. Only where metrics are exported.
 */
import { systemClock } from "../clock.ts";
import { openPool, type PoolOptions } from "../postgres/pool.ts";
import { RedisConnection, type RedisSettings } from "../redis/connection.ts";
import type { RedisMaster } from "../redis/master.ts";
import { backlogReader } from "./backlog.ts";
import { observeBacklog } from "./gauges.ts";

/** The sections of the configuration that are needed. */
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

/** Connections to PostgreSQL that the loops have to do without. */
export const GAUGE_CONNECTIONS = 1;

export function watchBacklog(
  { redis: redisSettings, postgres: postgresSettings, intents: { stream } }: WatchedStores,
  { answerMs, applicationName, master }: WatchOptions,
): BacklogGauges {
  const postgres = openPool({ ...postgresSettings, maxOpenConns: GAUGE_CONNECTIONS, applicationName });
  const redis = new RedisConnection(redisSettings, { role: "gauges", master });
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
