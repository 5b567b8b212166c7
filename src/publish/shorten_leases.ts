/** Leases of routes whose outcomes are committed → leases that live on for a claim's life, since a late batch may still ask. */
import { type RedisConnection, Script } from "../redis/connection.ts";
import { CLAIM_MS } from "../notification/route.ts";

const MAX_LEASES_A_CALL = 500;

const SHORTEN_LEASES = new Script(`
for _, key in ipairs(cjson.decode(ARGV[2])) do redis.call('PEXPIRE', key, ARGV[1]) end
`);

/** @throws RedisError; leases that are not shortened live for their full time, and cost Redis memory meanwhile */
export async function shortenLeases(redis: RedisConnection, leaseKeys: readonly string[]): Promise<void> {
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < leaseKeys.length; at += MAX_LEASES_A_CALL) {
    const some = leaseKeys.slice(at, at + MAX_LEASES_A_CALL);
    calls.push(redis.run(SHORTEN_LEASES, [], [CLAIM_MS, JSON.stringify(some)]));
  }
  await Promise.all(calls);
}
