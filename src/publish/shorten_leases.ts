/**
 * Committed outcomes → the copies of the outbound streams' offsets move forward, then the leases of the routes are
 * shortened to a claim's life, because a late batch may still read them.
 *
 * The copies come first, and nothing is done on a server of another epoch than that of the outcomes: if PostgreSQL
 * loses the outcomes, the copy shows from where entries may have no lease any more (`repair/postgres_check.ts`).
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
 * @param moved the highest entry of each outbound stream that is written as published
 * @throws RedisError; leases that are not shortened keep their full life, and cost Redis memory
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
  // One call at least: the copies move forward also without leases.
  for (let at = 0; at === 0 || at < leaseKeys.length; at += MAX_LEASES_A_CALL) {
    const some = leaseKeys.slice(at, at + MAX_LEASES_A_CALL);
    calls.push(redis.run(SHORTEN_LEASES, [], [CLAIM_MS, moves, JSON.stringify(some)]));
  }
  await Promise.all(calls);
}
