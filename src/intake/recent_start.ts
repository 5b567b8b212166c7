/**
 * The time at which a batch was read → a recent time before its acceptance, from which the claims of its routes run.
 */
import type { Clock } from "../clock.ts";
import { BIRTH_CLAIM_MS } from "../notification/route.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { redisTimeMs } from "../redis/time.ts";
import type { ClaimStart } from "../relay/batch.ts";

/** Redis's clock is read again if it was read longer ago than this, for example after slow look-ups. */
const MAX_AGE_MS = BIRTH_CLAIM_MS / 4;

export async function recentStart(
  { takenAtMs, takenAt }: ClaimStart,
  { redis, clock }: { readonly redis: RedisConnection; readonly clock: Clock },
): Promise<ClaimStart> {
  const now = clock.monotonic();
  if (now - takenAt < MAX_AGE_MS) return { takenAtMs, takenAt };
  try {
    return { takenAtMs: await redisTimeMs(redis), takenAt: now };
  } catch {
    // Acceptance does not need Redis: with the old time the hand-off may be late, and the routes are claimed when they
    // are due.
    return { takenAtMs, takenAt };
  }
}
