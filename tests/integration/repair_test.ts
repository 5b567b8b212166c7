/** Losses and their repair on real stores (docs/contract.md, section 11). */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { openRepairAgeMs } from "../../src/backlog/open_repair.ts";
import { systemClock } from "../../src/clock.ts";
import { CLAIM_MS } from "../../src/notification/route.ts";
import { handOff } from "../../src/publish/hand_off.ts";
import { redisEpochKey, ROUTE_LEASE_PATTERN, routeLeaseKey, streamOffsetKey } from "../../src/redis/keys.ts";
import { redisTimeMs } from "../../src/redis/time.ts";
import { checkPostgresServer, moveOffsetsForward } from "../../src/repair/postgres_check.ts";
import { putBackLost } from "../../src/repair/put_back.ts";
import { rebuildLeases } from "../../src/repair/rebuild_leases.ts";
import { openStage, type Stage, STREAMS } from "../support/stage.ts";

const PUSH = STREAMS.push;

/** Accepts intents and publishes their pushes. */
async function publish(stage: Stage, intents: number): Promise<void> {
  for (let at = 0; at < intents; at++) await stage.addIntent({ idempotency_key: crypto.randomUUID() });
  const stop = new AbortController();
  const consumer = await stage.consumer();
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.endClaims();
  const publisher = await stage.publisher("push");
  while (await publisher.pass() === "again");
  await publisher.close();
}

const offsetOf = (stage: Stage, stream = PUSH) =>
  stage.value(`SELECT entry_id FROM notification.stream_offsets WHERE stream = '${stream}'`);
const statuses = async (stage: Stage) =>
  (await stage.query<{ status: string }>(
    "SELECT status FROM notification.routes WHERE channel = 'push' ORDER BY route_id",
  ))
    .map(({ status }) => status);

/** As if the server had been restarted without the entries after `entryId`. */
async function loseTail(stage: Stage, entryId: string): Promise<void> {
  const kept = await stage.redis.xrange(PUSH, "-", entryId);
  for (const [, fields] of await stage.redis.xrange(PUSH, `(${entryId}`, "+")) {
    const [notificationId, routeId] = fields[fields.indexOf("event_id") + 1]!.split("/");
    await stage.redis.del(routeLeaseKey(notificationId!, routeId!));
  }
  // Made again: a stream whose last entries were deleted remembers them, and Valkey 8 refuses to have its last id set
  // back.
  await stage.redis.del(PUSH);
  for (const [id, fields] of kept) await stage.redis.xadd(PUSH, id, ...fields);
  await stage.redis.hset(streamOffsetKey(PUSH), "entry_id", entryId);
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'before' WHERE redis_epoch IS NOT NULL");
  await stage.redis.set(redisEpochKey(), "before");
}

const putBack = (stage: Stage, limit: number, isRepublished = true) =>
  putBackLost(stage.pool, { streams: STREAMS, limit, isRepublished });

Deno.test("with stores of a version without epochs the first check accepts the streams as they are", async () => {
  await using stage = await openStage();
  await publish(stage, 3);
  const end = (await stage.redis.xrevrange(PUSH, "+", "-"))[0]![0];
  await stage.query("DELETE FROM notification.stream_offsets WHERE redis_epoch IS NOT NULL");
  await stage.redis.del(redisEpochKey());
  assert.deepEqual(await stage.checkRedis(), []);
  assert.deepEqual([await offsetOf(stage), await offsetOf(stage, STREAMS.email)], [end, "0-0"]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "0");
});

Deno.test("the offset of an outbound stream and its copy are the highest entry that is written as published", async () => {
  await using stage = await openStage();
  await publish(stage, 3);
  const end = (await stage.redis.xrevrange(PUSH, "+", "-"))[0]![0];
  assert.equal(await offsetOf(stage), end);
  assert.equal(await stage.redis.hget(streamOffsetKey(PUSH), "entry_id"), end);
});

Deno.test("of several instances that find a loss at once one commits the repair", async () => {
  await using stage = await openStage();
  await publish(stage, 4);
  const [, second, , fourth] = (await stage.redis.xrange(PUSH, "-", "+")).map(([id]) => id);
  await loseTail(stage, second!);
  const found = (await Promise.all([1, 2, 3, 4].map(() => stage.checkRedis()))).flat();
  assert.deepEqual(found, [{ stream: PUSH, lostAfter: second, lostUpTo: fourth }]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "1");
  assert.equal(await offsetOf(stage), second);
  assert.deepEqual(await stage.checkRedis(), []);
});

Deno.test("how long a repair has been open is known until it is finished", async () => {
  await using stage = await openStage();
  await publish(stage, 2);
  assert.equal(await openRepairAgeMs(stage.pool), 0);
  const [first] = (await stage.redis.xrange(PUSH, "-", "+")).map(([id]) => id);
  await loseTail(stage, first!);
  assert.equal((await stage.checkRedis()).length, 1);
  await stage.query("UPDATE notification.repairs SET detected_at = detected_at - interval '1 hour'");
  const ageMs = await openRepairAgeMs(stage.pool);
  assert.ok(ageMs >= 3_600_000 && ageMs < 3_660_000, `${ageMs}`);
  while (!(await putBack(stage, 10))!.isFinished);
  assert.equal(await openRepairAgeMs(stage.pool), 0);
});

Deno.test("a server that was emptied without a restart has lost nothing: no repair", async () => {
  await using stage = await openStage();
  await publish(stage, 2);
  await stage.redis.flushdb();
  assert.deepEqual(await stage.checkRedis(), []);
  assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "0");
  assert.equal(await offsetOf(stage), "0-0");
});

Deno.test("a deleted stream is no loss after a restart either, because the copy of its offset still exists", async () => {
  await using stage = await openStage();
  await publish(stage, 2);
  const end = await offsetOf(stage);
  await stage.redis.del(PUSH);
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'before'");
  await stage.redis.set(redisEpochKey(), "before");
  assert.deepEqual(await stage.checkRedis(), []);
  assert.equal(await offsetOf(stage), end);
});

Deno.test("a loss whose repair PostgreSQL has lost is found again, although the stream has grown since", async () => {
  await using stage = await openStage();
  await publish(stage, 4);
  const [, second, , fourth] = (await stage.redis.xrange(PUSH, "-", "+")).map(([id]) => id);
  await loseTail(stage, second!);
  assert.equal((await stage.checkRedis()).length, 1);
  await stage.redis.xadd(PUSH, "*", "event_id", "later/push:user:1");
  // PostgreSQL is restored to the time before.
  await stage.query("DELETE FROM notification.repairs");
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'before', entry_id = $1 WHERE stream = $2", [
    fourth,
    PUSH,
  ]);
  assert.deepEqual(await stage.checkRedis(), [{ stream: PUSH, lostAfter: second, lostUpTo: fourth }]);
  assert.deepEqual(await stage.checkRedis(), []);
});

Deno.test("a stream whose end can't be read is an outage, not a loss", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await publish(stage, 1);
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'before'");
  await stage.redis.call("ACL", "SETUSER", "default", "-xinfo|stream");
  await assert.rejects(stage.checkRedis(), { name: "RedisError" });
  assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "0");
});

Deno.test("lost commits that wrote no higher entry are noticed too", async () => {
  await using stage = await openStage();
  await publish(stage, 2);
  const redis = await stage.connection();
  const commits = await stage.redis.hget(streamOffsetKey(PUSH), "entries_read");
  assert.ok(Number(commits) >= 1);
  await stage.redis.hincrby(streamOffsetKey(PUSH), "entries_read", 1);
  for (const key of await stage.redis.keys(ROUTE_LEASE_PATTERN)) await stage.redis.del(key);
  const check = () =>
    checkPostgresServer({
      redis,
      postgres: stage.pool,
      outbound: [{ channel: "push", stream: PUSH }],
      intentStream: "notification:intents",
      leaseTtlMs: 60_000,
      clock: systemClock,
      onProgress: () => {},
    });
  const { rebuilt } = await check();
  await moveOffsetsForward(stage.pool, rebuilt);
  assert.deepEqual(rebuilt.map(({ stream, entries, leases }) => ({ stream, entries, leases })), [
    { stream: PUSH, entries: 2, leases: 2 },
  ]);
  assert.deepEqual((await check()).rebuilt, []);
});

Deno.test("a repair resumes where another process left it, and puts back only lost routes", async () => {
  await using stage = await openStage();
  await publish(stage, 7);
  const ids = (await stage.redis.xrange(PUSH, "-", "+")).map(([id]) => id);
  await loseTail(stage, ids[2]!);
  assert.equal((await stage.checkRedis()).length, 1);
  // The server uses the id of a lost entry again, for a route that was not lost.
  const reused = ids[4]!;
  await stage.query(
    "UPDATE notification.routes SET published_entry_id = $1, updated_at = now() WHERE published_entry_id = $2",
    [reused, ids[0]],
  );
  let batches = 0;
  let last: Awaited<ReturnType<typeof putBack>>;
  let lost = 0;
  do {
    last = await putBack(stage, 3);
    lost += last?.lost ?? 0;
    batches++;
  } while (last?.isFinished === false);
  // Fourteen routes, three at a time.
  assert.deepEqual([batches, lost, last?.routes, last?.isFinished], [5, 4, 4, true]);
  assert.equal(await putBack(stage, 3), undefined);
  assert.deepEqual((await statuses(stage)).sort(), [...Array(4).fill("pending"), ...Array(3).fill("published")]);
  assert.equal(
    await stage.value(
      "SELECT count(*) FROM notification.routes WHERE channel = 'push' AND status = 'pending' AND attempt_count = 0",
    ),
    "4",
  );
  const publisher = await stage.publisher("push");
  while (await publisher.pass() === "again");
  await publisher.close();
  assert.equal(await stage.redis.xlen(PUSH), 7);
  assert.equal(new Set(await stage.delivered("push")).size, 7);
});

Deno.test("a repair that only reports counts and changes no route", async () => {
  await using stage = await openStage();
  await publish(stage, 3);
  const [first] = (await stage.redis.xrange(PUSH, "-", "+")).map(([id]) => id);
  await loseTail(stage, first!);
  await stage.checkRedis();
  const batch = await putBack(stage, 100, false);
  assert.deepEqual([batch?.lost, batch?.routes, batch?.isFinished], [2, 2, true]);
  assert.deepEqual(await statuses(stage), ["published", "published", "published"]);
});

Deno.test("nothing is appended on a server that was not checked, and a hand-off returns the epoch in which it was done", async () => {
  await using server = await startRedis({ appendOnly: true });
  await using stage = await openStage({ redisServer: server });
  const redis = await stage.connection();
  const options = async () => ({
    stream: PUSH,
    maxLength: 0,
    leaseTtlMs: 60_000,
    waitReplicas: 0,
    waitMs: 0,
    claim: { takenAtMs: await redisTimeMs(redis), lifeMs: CLAIM_MS },
  });
  const delivery = [{ leaseKey: routeLeaseKey("n", "push:user:1"), fields: ["event_id", "n/push:user:1"] }];
  const epoch = await stage.redis.get(redisEpochKey());
  await stage.redis.set(redisEpochKey(), "another");
  const refused = await handOff(redis, delivery, await options());
  assert.deepEqual([refused.answers, refused.outage?.code], [[{ kind: "unanswered" }], "EPOCH"]);
  assert.equal(await stage.redis.exists(PUSH), 0);
  await stage.checkRedis();
  const { answers: [answer] } = await handOff(redis, delivery, await options());
  assert.equal(answer?.kind === "published" ? answer.publication.epoch : undefined, epoch);
});

Deno.test("a publication of an earlier epoch is not written; its lease shows it when the route is due again", async () => {
  await using stage = await openStage();
  await publish(stage, 1);
  await stage.addIntent({ idempotency_key: "second" });
  const stop = new AbortController();
  const consumer = await stage.consumer();
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.endClaims();
  // Another instance has checked another server, before this one has its answer.
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'later' WHERE redis_epoch IS NOT NULL");
  const redis = await stage.connection();
  let unchecked = 0;
  const writer = stage.writer(redis, undefined, () => unchecked++);
  const publisher = await stage.publisher("push", { redis, writer });
  await publisher.pass();
  await publisher.close();
  assert.equal(unchecked, 1);
  assert.deepEqual((await statuses(stage)).sort(), ["pending", "published"]);
  assert.equal(await stage.redis.xlen(PUSH), 2);
  await stage.checkRedis();
  await stage.endClaims();
  const again = await stage.publisher("push");
  while (await again.pass() === "again");
  await again.close();
  assert.deepEqual(await statuses(stage), ["published", "published"]);
  assert.equal(await stage.redis.xlen(PUSH), 2);
});

Deno.test("leases are rebuilt from an entry on, in pieces: missing ones are set, the others get their full life", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const ids: string[] = [];
  for (let at = 0; at < 1_200; at++) {
    ids.push(await stage.redis.xadd("out", "*", "event_id", `n${at}/push:user:${at}`, "payload", "{}") as string);
  }
  await stage.redis.xadd("out", "*", "foreign", "entry");
  const kept = routeLeaseKey("n700", "push:user:700");
  await stage.redis.set(kept, "published:1-1", "PX", 500);
  let pieces = 0;
  const rebuilt = await rebuildLeases(redis, {
    stream: "out",
    field: "event_id",
    from: ids[200]!,
    leaseTtlMs: 60_000,
    clock: systemClock,
    onPiece: () => pieces++,
  });
  assert.deepEqual([rebuilt.entries, rebuilt.leases], [1_001, 999]);
  assert.ok(pieces >= 3, `${pieces}`);
  assert.equal(await stage.redis.exists(routeLeaseKey("n199", "push:user:199")), 0);
  assert.equal(await stage.redis.get(routeLeaseKey("n200", "push:user:200")), `published:${ids[200]}`);
  assert.equal(await stage.redis.get(kept), "published:1-1");
  assert.ok(await stage.redis.pttl(kept) > 50_000);
});
