/**
 * How checkRedis() judges `INFO` and the epoch: Valkey counts as the version of Redis with which it says it is
 * compatible.
 */
import assert from "node:assert/strict";
import { checkRedis, REPLICATION_ID_IS_HIDDEN } from "./check_server.ts";
import type { RedisConnection } from "./connection.ts";
import { HIDDEN_EPOCH } from "./epoch.ts";

const REDIS = [
  "redis_version:7.0.15",
  "role:master",
  "cluster_enabled:0",
  "maxmemory_policy:noeviction",
  "aof_enabled:1",
];
const VALKEY = ["redis_version:7.2.4", "server_name:valkey", "valkey_version:8.0.2", ...REDIS.slice(1)];

function answering(info: readonly string[], epoch = "abc"): RedisConnection {
  const answer = { INFO: info.join("\r\n"), PING: "PONG" } as Readonly<Record<string, string>>;
  return {
    call: (command: string) => Promise.resolve(answer[command]),
    run: () => Promise.resolve(epoch),
  } as unknown as RedisConnection;
}

Deno.test("checkRedis() accepts Redis 7.0 and Valkey, and refuses an older or an evicting one", async () => {
  assert.deepEqual(await checkRedis(answering(REDIS)), []);
  assert.deepEqual(await checkRedis(answering(VALKEY)), []);
  const older = REDIS.map((line) => line.replace("7.0.15", "6.2.14"));
  await assert.rejects(checkRedis(answering(older)), /Redis 7\.0 or newer, or Valkey, is needed, this is 6\.2\.14/);
  const evicting = VALKEY.map((line) => line.replace("noeviction", "allkeys-lru"));
  await assert.rejects(checkRedis(answering(evicting)), /noeviction/);
  assert.deepEqual(await checkRedis(answering(REDIS, HIDDEN_EPOCH)), [REPLICATION_ID_IS_HIDDEN]);
});
