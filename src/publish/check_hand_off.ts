/**
 * Runs the hand-off script once on a throwaway lease: whether this Redis and this user let it work at all. The lease
 * says `published`, so that nothing is appended anywhere.
 */
import { isRedisAway, RedisError } from "../redis/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { handOff, leaseKeyOf, redisTimeMs } from "./hand_off.ts";

const THROWAWAY_MS = 10_000;

/** @throws when the script can't run; that Redis refuses writes for now is no reason not to start */
export async function checkHandOff(redis: RedisConnection, stream: string): Promise<void> {
  const leaseKey = leaseKeyOf("start-up", crypto.randomUUID());
  try {
    await redis.call("SET", leaseKey, "published:0-0", "PX", THROWAWAY_MS);
    const { answers, outage } = await handOff(redis, [{ leaseKey, fields: [] }], {
      stream,
      maxLength: 0,
      leaseTtlMs: THROWAWAY_MS,
      waitReplicas: 0,
      waitMs: 0,
      claimedAtMs: await redisTimeMs(redis),
    });
    if (outage !== undefined) throw outage;
    if (answers[0]?.kind !== "published") throw new Error(`The hand-off script answered ${JSON.stringify(answers[0])}`);
    await redis.call("DEL", leaseKey);
  } catch (error) {
    const refusesForNow = error instanceof RedisError && isRedisAway(error) && error.code !== "" &&
      error.code !== "NOPERM";
    if (!refusesForNow) throw error;
  }
}
