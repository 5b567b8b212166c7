/** Publishing in hard cases: many recipients of large payloads, lost replicas, backlogs that remain. */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { type Delivery, handOff } from "../../src/publish/hand_off.ts";
import { CLAIM_MS } from "../../src/notification/route.ts";
import { epochBeginningsKey, redisEpochKey, routeLeaseKey } from "../../src/redis/keys.ts";
import { redisTimeMs } from "../../src/redis/time.ts";
import { checkHandOff } from "../../src/publish/check_hand_off.ts";
import { openStage, type Stage, STREAMS, TestClock } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

async function accept(stage: Stage, passes = 1): Promise<void> {
  const stop = new AbortController();
  const consumer = await stage.consumer();
  for (let at = 0; at < passes; at++) await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.endClaims();
}

Deno.test("one intent of a large payload for thousands of users is published, also in large batches", async () => {
  await using stage = await openStage();
  const users = Array.from({ length: 3000 }, (_, at) => `u${at}`);
  await stage.addIntent({
    recipient_user_ids_json: JSON.stringify(users),
    payload_json: `{"game_id":"g","game_name":"${"x".repeat(200_000)}","turn_number":1}`,
  });
  await accept(stage);
  const publisher = await stage.publisher("push", {
    batchSize: 10_000,
    outbound: { stream: STREAMS.push, maxLength: 10 },
  });
  const startedAt = performance.now();
  assert.equal(await publisher.pass(), "again");
  // The payload is unpacked once; once per route would take minutes and gigabytes.
  assert.ok(performance.now() - startedAt < 20_000, `${performance.now() - startedAt} ms`);
  // On a slow machine one claim does not last for all routes.
  const published = "SELECT count(*) FROM notification.routes WHERE channel = 'push' AND status = 'published'";
  await eventually(async () => {
    while (await publisher.pass() === "again");
    return await stage.value(published) === "3000";
  }, { timeoutMs: 60_000 });
  await publisher.close();
});

Deno.test("a new route does not wait for the end of a large backlog", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 200; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  await accept(stage);
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { clock, batchSize: 5 });
  await publisher.pass();
  await stage.query(`
    UPDATE notification.routes SET next_attempt_at = now() - interval '1 hour' WHERE route_id = 'push:user:u199'`);
  const isPublished = () =>
    stage.value("SELECT status = 'published' FROM notification.routes WHERE route_id = 'push:user:u199'");
  await publisher.pass();
  assert.equal(await isPublished(), "false");
  clock.ms += 10_000;
  await publisher.pass();
  await publisher.close();
  assert.equal(await isPublished(), "true");
});

Deno.test("a single route with next_attempt_at at infinity leaves the publisher idle, and others are published", async () => {
  await using stage = await openStage();
  await stage.addIntent({ recipient_user_ids_json: '["parked"]' });
  await accept(stage);
  const park = () =>
    stage.query("UPDATE notification.routes SET next_attempt_at = 'infinity' WHERE recipient = 'user:parked'");
  await park();
  const publisher = await stage.publisher("push");
  assert.equal(await publisher.pass(), "idle");
  const startedAt = performance.now();
  await publisher.idle(new AbortController().signal);
  const waitedMs = performance.now() - startedAt;
  assert.ok(waitedMs > 100 && waitedMs < 5_000, `${waitedMs} ms`);

  await stage.addIntent({ recipient_user_ids_json: '["u1"]' });
  await accept(stage);
  await park();
  await eventually(async () => {
    await publisher.pass();
    return (await stage.delivered("push")).length === 1;
  });
  await publisher.close();
  assert.equal(
    await stage.value(`
      SELECT string_agg(recipient || ' ' || status, ', ' ORDER BY recipient) FROM notification.routes
      WHERE channel = 'push'`),
    "user:parked pending, user:u1 published",
  );
});

Deno.test("a route whose record no longer exists becomes a dead letter and delays no other", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 4; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  await accept(stage);
  await stage.query(`
    DELETE FROM notification.records
    WHERE notification_id IN (SELECT notification_id FROM notification.routes WHERE recipient IN ('user:u0', 'user:u1'))`);
  const publisher = await stage.publisher("push", { batchSize: 2 });
  while (await publisher.pass() === "again");
  await publisher.close();
  assert.equal((await stage.delivered("push")).length, 2);
  assert.equal(
    await stage.value("SELECT max(failure_message) FROM notification.dead_letters"),
    "the route's record does not exist any more",
  );
});

Deno.test("a route that was published before the catalog lost its type is written as published", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await accept(stage);
  const failing = await stage.publisher("push");
  const heal = await stage.failWriting();
  await failing.pass();
  await failing.close();
  await heal();
  await stage.endClaims();
  const without = await stage.publisher("push", { catalog: new Map() });
  await without.pass();
  await without.close();
  assert.equal(await stage.value("SELECT status FROM notification.routes WHERE channel = 'push'"), "published");
});

Deno.test("the replicas' acknowledgements cover a script that was sent again", async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ password: master.password });
  await using stage = await openStage({ redisServer: master });
  const { openRedis, closeRedis } = await import("../support/redis_client.ts");
  const client = await openRedis(replica);
  await client.config("SET", "masterauth", master.password);
  await client.call("REPLICAOF", master.host, master.port);
  await eventually(async () => (await client.info("replication")).includes("master_link_status:up"), {
    timeoutMs: 10_000,
    message: "the replica never came up",
  });
  // With its first replica a master gets another replication id.
  await stage.checkRedis();
  const redis = await stage.connection(10_000);
  const deliveries: Delivery[] = [{ leaseKey: routeLeaseKey("n", "push"), fields: ["a", "b"] }];
  const options = async (waitMs: number) => ({
    stream: "out",
    maxLength: 0,
    leaseTtlMs: 60_000,
    waitReplicas: 1,
    waitMs,
    claim: { takenAtMs: await redisTimeMs(redis), lifeMs: CLAIM_MS },
  });
  assert.equal((await handOff(redis, deliveries, await options(5_000))).answers[0]!.kind, "published");
  await replica.kill("SIGSTOP");
  await stage.redis.script("FLUSH");
  const second = [{ leaseKey: routeLeaseKey("n", "second"), fields: ["a", "b"] }];
  const { answers, outage } = await handOff(redis, second, await options(200));
  await replica.kill("SIGCONT");
  await closeRedis(client);
  assert.equal(answers[0]!.kind, "unanswered");
  assert.match(outage!.message, /0 of 1 replicas/);
});

Deno.test("checkHandOff() leaves nothing behind, and names a right that is missing", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  const redis = await stage.connection();
  await checkHandOff(redis);
  assert.deepEqual((await stage.redis.keys("*")).sort(), [redisEpochKey(), epochBeginningsKey()]);
  for (const command of ["set", "xdel", "get", "pexpire", "wait"]) {
    await stage.redis.call("ACL", "SETUSER", "default", `-${command}`);
    await assert.rejects(checkHandOff(redis), /can't run|no permissions/, command);
    await stage.redis.call("ACL", "SETUSER", "default", `+${command}`);
  }
});

Deno.test("checkHandOff() passes if Redis refuses writes for now, and fails if the connection is lost", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  const redis = await stage.connection();
  await stage.redis.config("SET", "maxmemory", "1");
  await checkHandOff(redis);
  await redis.close();
  await assert.rejects(checkHandOff(redis));
});
