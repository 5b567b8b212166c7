/**
 * Runs the hand-off script on a throwaway stream and lease, which are then deleted: shows whether Redis accepts
 * publications at this moment (a publisher in doubt) and whether it can at all (start-up, `check`).
 */
import type { RedisConnection } from "../redis/connection.ts";
import { RedisError, refusesAllWrites } from "../redis/failures.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import { redisTimeMs } from "../redis/time.ts";
import { CLAIM_MS } from "../notification/route.ts";
import { handOff, type HandOffOptions, type HandOffResult } from "./hand_off.ts";
import { shortenLeases } from "./shorten_leases.ts";

type Replicas = Pick<HandOffOptions, "waitReplicas" | "waitMs">;
type ThrowawayOptions = Replicas & Pick<HandOffOptions, "isEpochIgnored">;

const THROWAWAY_MS = 10_000;

/** The reason why Redis refuses every publication at this moment; `undefined` if it does not. */
export async function refusalToPublish(redis: RedisConnection, replicas: Replicas): Promise<RedisError | undefined> {
  return await withThrowaway(redis, replicas, ({ outage }) => Promise.resolve(outage));
}

/** @throws if publishing can't work; a Redis that only refuses writes at this moment does not prevent the start */
export async function checkHandOff(redis: RedisConnection): Promise<void> {
  try {
    await withThrowaway(
      redis,
      { waitReplicas: 0, waitMs: 0, isEpochIgnored: true },
      async ({ answers: [answer], outage }, { stream, leaseKey }) => {
        if (outage !== undefined) throw outage;
        if (answer?.kind !== "published") throw new Error(`The hand-off script answered ${JSON.stringify(answer)}`);
        await shortenLeases(redis, [leaseKey], []);
        // The script does this if the lease can't be set.
        await redis.call("XDEL", stream, answer.publication.entryId);
        await redis.call("DEL", stream, leaseKey);
        await redis.call("WAIT", 0, 0);
      },
    );
  } catch (error) {
    // By the code, which is empty without a reply: the message of a lost connection comes from the cause of the loss.
    if (!(error instanceof RedisError && refusesAllWrites(error.code))) throw error;
  }
}

async function withThrowaway<Result>(
  redis: RedisConnection,
  { waitReplicas, waitMs, isEpochIgnored = false }: ThrowawayOptions,
  use: (result: HandOffResult, keys: { readonly stream: string; readonly leaseKey: string }) => Promise<Result>,
): Promise<Result> {
  const leaseKey = routeLeaseKey("throwaway", crypto.randomUUID());
  const stream = `${leaseKey}:stream`;
  const claim = { takenAtMs: await redisTimeMs(redis), lifeMs: CLAIM_MS };
  const bounds = { maxLength: 0, leaseTtlMs: THROWAWAY_MS, waitReplicas, waitMs };
  const delivery = { leaseKey, fields: ["check", "throwaway"] };
  try {
    const result = await handOff(redis, [delivery], { stream, ...bounds, claim, isEpochIgnored });
    return await use(result, { stream, leaseKey });
  } finally {
    // A Redis that no longer answers keeps an entry of a few bytes.
    await redis.call("DEL", stream, leaseKey).catch(() => {});
  }
}
