/**
 * After outcomes are committed: the copies of the outbound streams' offsets move forward, then the leases of the routes live on for a
 * claim's life, since a late batch may still ask.
 *
 * In this order, and on the server of the outcomes alone: should PostgreSQL lose the outcomes, the copy says from where on to look
 * for entries whose leases are gone (`repair/postgres_check.ts`).
 */
import { type RedisConnection, Script } from "../redis/connection.ts";
import { SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { CLAIM_MS } from "../notification/route.ts";
import { streamOffsetKey } from "../redis/keys.ts";
import { COPY_FORWARD_LUA } from "../stream_offset/stream_offset.ts";
import type { Move } from "./write_outcomes.ts";

const MAX_LEASES_A_CALL = 500;

const SHORTEN_LEASES = new Script(`${SERVER_EPOCH_LUA}${COPY_FORWARD_LUA}
local epoch = server_epoch()
for _, move in ipairs(cjson.decode(ARGV[2])) do
  if move.epoch ~= epoch then return end
  copy_forward(move.key, move.entryId, move.commits)
end
for _, key in ipairs(cjson.decode(ARGV[3])) do redis.call('PEXPIRE', key, ARGV[1]) end
`);

/**
 * @param moved up to where the outbound streams are written as published
 * @throws RedisError; leases that are not shortened live for their full time, and cost Redis memory meanwhile
 */
export async function shortenLeases(
  redis: RedisConnection,
  leaseKeys: readonly string[],
  moved: readonly Move[],
): Promise<void> {
  const moves = JSON.stringify(
    moved.map(({ stream, epoch, entryId, commits }) => ({ key: streamOffsetKey(stream), epoch, entryId, commits })),
  );
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < leaseKeys.length; at += MAX_LEASES_A_CALL) {
    const some = leaseKeys.slice(at, at + MAX_LEASES_A_CALL);
    calls.push(redis.run(SHORTEN_LEASES, [], [CLAIM_MS, moves, JSON.stringify(some)]));
  }
  await Promise.all(calls);
}
