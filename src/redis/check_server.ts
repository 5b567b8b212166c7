/**
 * Whether the Redis that the configuration names is one this service can work with: docs/contract.md, section 10.
 *
 * Throws with a message for the operator if not; returns warnings about what works but needs attention. The connection
 * itself refuses a server that is not a master.
 */
import { type RedisConnection, Script } from "./connection.ts";
import { HIDDEN_EPOCH, SERVER_EPOCH_LUA } from "./epoch.ts";
import { routeLeaseKey } from "./keys.ts";
import { UnsuitableRedis } from "./master.ts";

export const PASSWORD_NOT_ASKED =
  "NOTIFICATION_REDIS_PASSWORD is set, but Redis asks for no password: every client that reaches it may do everything";

const PERSISTENCE_IS_OFF = "Redis persistence is off: what it acknowledged is lost with its process";
export const REPLICATION_ID_IS_HIDDEN =
  "Redis hides its replication id: losses are found only after a reconnection, not behind a proxy that keeps connections open";

// Tries the commands of the repair loop on a key that does not exist; returns the epoch.
const TRY_REPAIR = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not string.find(info.err, 'no such key', 1, true) then return info end
redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
redis.call('HMGET', KEYS[1], 'entry_id')
redis.call('HGET', KEYS[1], 'entry_id')
return server_epoch()
`);

export async function checkRedis(redis: RedisConnection): Promise<string[]> {
  await redis.call("PING");
  const info = parseInfo(String(await redis.call("INFO")));

  // Valkey reports the version of Redis with which it is compatible.
  const version = info.get("redis_version") ?? "";
  if (Number(version.split(".")[0]) < 7) {
    throw new UnsuitableRedis(`Redis 7.0 or newer, or Valkey, is needed, this is ${version}`, {
      advice: "install Redis 7.0 or newer, or Valkey",
    });
  }
  if (info.get("cluster_enabled") === "1") {
    throw new UnsuitableRedis("Redis Cluster is not supported", {
      advice: "use a Redis that is not part of a cluster",
    });
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== "noeviction") {
    throw new UnsuitableRedis(
      `maxmemory-policy must be noeviction, it is ${policy}: an evicted lease or stream would lose or repeat routes`,
      { advice: "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf" },
    );
  }
  const throwaway = routeLeaseKey("start-up", crypto.randomUUID());
  return [
    ...(info.get("aof_enabled") === "0" && !await hasSnapshots(redis) ? [PERSISTENCE_IS_OFF] : []),
    ...(await redis.run(TRY_REPAIR, [throwaway], []) === HIDDEN_EPOCH ? [REPLICATION_ID_IS_HIDDEN] : []),
  ];
}

async function hasSnapshots(redis: RedisConnection): Promise<boolean> {
  try {
    const [, save] = await redis.call("CONFIG", "GET", "save") as string[];
    return save !== "";
  } catch {
    // CONFIG is often denied. The setting is then unknown, and a false warning would mislead.
    return true;
  }
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split("\r\n").filter((line) => line.includes(":"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}
