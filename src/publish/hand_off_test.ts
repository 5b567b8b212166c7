/**
 * The hand-off without a Redis: every route is unanswered, and the call never rejects. The rest is tested on a real
 * Redis (tests/integration).
 */
import assert from "node:assert/strict";
import { freePort } from "../../scripts/servers/free_port.ts";
import { RedisConnection } from "../redis/connection.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import { type Delivery, handOff } from "./hand_off.ts";

const options = {
  stream: "gateway:client-events",
  maxLength: 0,
  leaseTtlMs: 3_600_000,
  waitReplicas: 0,
  waitMs: 100,
  claim: { takenAtMs: 0, lifeMs: 10_000 },
};

function unconnected(): RedisConnection {
  const password = { reveal: () => "secret" };
  const settings = { host: "127.0.0.1", port: freePort(), password, db: 0, operationTimeoutMs: 500 };
  return new RedisConnection(settings, { role: "test" });
}

Deno.test("handOff() knows of no route while Redis is away, and says why", async () => {
  const deliveries: Delivery[] = Array.from({ length: 250 }, (_, n) => ({
    leaseKey: routeLeaseKey("n", `push:user:${n}`),
    fields: ["payload_bytes", "x".repeat(n % 50 === 0 ? 300_000 : 10)],
  }));
  for (const waitReplicas of [0, 1]) {
    const redis = unconnected();
    const { answers, outage } = await handOff(redis, deliveries, { ...options, waitReplicas });
    assert.deepEqual(answers, deliveries.map(() => ({ kind: "unanswered" })));
    assert.equal(outage?.code, "");
    redis.close();
  }
});

Deno.test("handOff() has nothing to say of no routes", async () => {
  const redis = unconnected();
  assert.deepEqual(await handOff(redis, [], options), { answers: [], outage: undefined });
  redis.close();
});
