/** Redis's clock, by which the hand-off script computes the age of a claim. */
import type { RedisConnection } from "./connection.ts";

/** Unix milliseconds. */
export async function redisTimeMs(redis: RedisConnection): Promise<number> {
  const [seconds, microseconds] = await redis.call("TIME") as [string | number, string | number];
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
