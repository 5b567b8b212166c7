/**
 * Runs the hand-off script once on a throwaway stream and lease, and takes back what it did: whether this Redis, and this
 * user, let everything work that a route's publication may need.
 */
import type { RedisConnection } from "../redis/connection.ts";
import { isRedisAway, RedisError } from "../redis/failures.ts";
import { redisTimeMs } from "../redis/time.ts";
import { CLAIM_LIFE_MS, handOff, leaseKeyOf } from "./hand_off.ts";

const THROWAWAY_MS = 10_000;

/** @throws when the script can't run; that Redis refuses writes for now is no reason not to start */
export async function checkHandOff(redis: RedisConnection): Promise<void> {
  const leaseKey = leaseKeyOf("start-up", crypto.randomUUID());
  const stream = `${leaseKey}:stream`;
  try {
    const { answers, outage } = await handOff(redis, [{ leaseKey, fields: ["check", "start-up"] }], {
      stream,
      maxLength: 0,
      leaseTtlMs: THROWAWAY_MS,
      waitReplicas: 0,
      waitMs: 0,
      claimedAtMs: await redisTimeMs(redis),
      claimLifeMs: CLAIM_LIFE_MS,
    });
    if (outage !== undefined) throw outage;
    const [answer] = answers;
    if (answer?.kind !== "published") throw new Error(`The hand-off script answered ${JSON.stringify(answer)}`);
    // What the script does if the lease can't be set, then what is left of this check.
    await redis.call("XDEL", stream, answer.entryId);
    await redis.call("DEL", stream, leaseKey);
  } catch (error) {
    const refusesForNow = error instanceof RedisError && isRedisAway(error) && error.code !== "" &&
      error.code !== "NOPERM";
    if (!refusesForNow) throw error;
  }
}
