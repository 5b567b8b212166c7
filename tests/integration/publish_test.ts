/** The publisher's pass on real servers: every route is published once, whatever is refused, lost or repeated. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/clock.ts";
import { OutageError, outageOf } from "../../src/lifecycle/outage.ts";
import { type Accepted, FRESH_MS, FreshRoutes, freshRoutesOf } from "../../src/notification/fresh_routes.ts";
import {
  type ClaimOptions,
  FROM_THE_BEGINNING,
  lockDueRoutes,
  MAX_PASS_BYTES,
  withRecords,
} from "../../src/publish/claim.ts";
import type { Publisher } from "../../src/publish/publisher.ts";
import { Recorder } from "../../src/publish/recorder.ts";
import { captureLog } from "../support/captured_log.ts";
import { openStage, type Stage, STREAMS, TestClock } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

/** Accepts `count` intents for one user each. */
async function accept(stage: Stage, count: number): Promise<void> {
  for (let at = 0; at < count; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const stop = new AbortController();
  const consumer = await stage.consumer();
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.makeClaimable();
}

function statuses(stage: Stage, channel = "push"): Promise<{ status: string; count: string; attempts: string }[]> {
  return stage.query(
    `SELECT status, count(*), max(attempt_count)::text AS attempts
    FROM notification.routes WHERE channel = $1 GROUP BY status ORDER BY status`,
    [channel],
  );
}

const isOutage = (dependency: string) => (error: unknown) =>
  error instanceof OutageError && error.dependency === dependency;

async function finish(...publishers: Publisher[]): Promise<void> {
  for (const publisher of publishers) await publisher.close();
}

Deno.test("a pass publishes what is due, in full batches until nothing is left", async () => {
  await using stage = await openStage();
  await accept(stage, 25);
  const publisher = await stage.publisher("push", { batchSize: 10 });
  assert.equal(await publisher.pass(), "again");
  assert.equal(await publisher.pass(), "again");
  assert.equal(await publisher.pass(), "idle");
  assert.equal(await publisher.pass(), "idle");
  await finish(publisher);
  const delivered = await stage.delivered("push");
  assert.equal(delivered.length, 25);
  assert.equal(new Set(delivered).size, 25);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  assert.equal(await stage.redis.xlen(STREAMS.email), 0);
});

Deno.test("routes handed off by a transaction that fails are not appended again, and get the ids they had", async () => {
  await using stage = await openStage();
  await accept(stage, 5);
  // Fails at COMMIT, after the hand-off.
  const heal = await stage.failRecording();
  const publisher = await stage.publisher("push");
  await assert.rejects(publisher.pass());
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "5", attempts: "0" }]);
  const before = await stage.redis.xrange(STREAMS.push, "-", "+");
  await heal();
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await stage.redis.xrange(STREAMS.push, "-", "+"), before);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "5", attempts: "1" }]);
  const recorded = await stage.query<{ published_entry_id: string }>(
    "SELECT published_entry_id FROM notification.routes WHERE channel = 'push' ORDER BY published_entry_id",
  );
  assert.deepEqual(recorded.map((row) => row.published_entry_id), before.map(([id]) => id));
});

Deno.test("leases live on for a claim's life once the outcomes are committed, and for their full time before", async () => {
  await using stage = await openStage();
  await accept(stage, 3);
  const publisher = await stage.publisher("push");
  await publisher.pass();
  await finish(publisher);
  const keys = await stage.redis.keys("route_leases:*");
  assert.equal(keys.length, 3);
  for (const key of keys) {
    assert.match(await stage.redis.get(key) ?? "", /^published:\d+-\d+$/);
    const ttl = await stage.redis.pttl(key);
    assert.ok(ttl > 0 && ttl <= 10_000, `${ttl}`);
  }
});

Deno.test("a stream of the wrong type uses attempts up to the dead letter; the other channel is untouched", async () => {
  await using stage = await openStage();
  await accept(stage, 2);
  await stage.redis.set(STREAMS.push, "no stream");
  const push = await stage.publisher("push", { ladder: { backoffMinMs: 1, backoffMaxMs: 1 } });
  const email = await stage.publisher("email");
  await push.pass();
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "2", attempts: "1" }]);
  const [failed] = await stage.query<Record<string, string>>(
    "SELECT last_error_classification, last_error_message FROM notification.routes WHERE status = 'failed'",
  );
  assert.equal(failed!.last_error_classification, "gateway_stream_publish_failed");
  assert.match(failed!.last_error_message!, /^WRONGTYPE/);
  await eventually(async () => {
    await push.pass();
    return (await statuses(stage)).every(({ status }) => status === "dead_letter");
  });
  await email.pass();
  await finish(push, email);
  assert.deepEqual(await statuses(stage), [{ status: "dead_letter", count: "2", attempts: "3" }]);
  assert.deepEqual(await statuses(stage, "email"), [{ status: "published", count: "2", attempts: "1" }]);
  const letters = await stage.query<Record<string, unknown>>(
    "SELECT channel, recipient, attempt_count, max_attempts, failure_classification FROM notification.dead_letters ORDER BY recipient",
  );
  assert.deepEqual(letters[0], {
    channel: "push",
    recipient: "user:u0",
    attempt_count: 3,
    max_attempts: 3,
    failure_classification: "gateway_stream_publish_failed",
  });
  assert.equal(letters.length, 2);
});

Deno.test("a lease key of another type is that route's failure and stops no other", async () => {
  await using stage = await openStage();
  await accept(stage, 3);
  const [route] = await stage.query<{ notification_id: string; route_id: string }>(
    "SELECT notification_id, route_id FROM notification.routes WHERE route_id = 'push:user:u1'",
  );
  await stage.redis.lpush(`route_leases:${route!.notification_id}:${route!.route_id}`, "x");
  const publisher = await stage.publisher("push");
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [
    { status: "failed", count: "1", attempts: "1" },
    { status: "published", count: "2", attempts: "1" },
  ]);
});

Deno.test("a payload that the catalog no longer has becomes a dead letter at once", async () => {
  await using stage = await openStage();
  await accept(stage, 1);
  const publisher = await stage.publisher("push", { catalog: new Map() });
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "dead_letter", count: "1", attempts: "1" }]);
  assert.equal(
    await stage.value("SELECT failure_classification FROM notification.dead_letters"),
    "payload_encoding_failed",
  );
});

Deno.test("one route whose outcome PostgreSQL refuses is set aside; the others are published, and it only once", async () => {
  await using stage = await openStage();
  await accept(stage, 20);
  await stage.query(`
    ALTER TABLE notification.routes
    ADD CONSTRAINT refuse CHECK (NOT (route_id = 'push:user:u13' AND status = 'published'))`);
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { clock });
  for (let at = 0; at < 20; at++) {
    clock.ms += 2000;
    await publisher.pass();
  }
  assert.deepEqual(await statuses(stage), [
    { status: "pending", count: "1", attempts: "0" },
    { status: "published", count: "19", attempts: "1" },
  ]);
  await stage.query("ALTER TABLE notification.routes DROP CONSTRAINT refuse");
  clock.ms += 300_000;
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "20", attempts: "1" }]);
  assert.equal(new Set(await stage.delivered("push")).size, 20);
  assert.equal((await stage.delivered("push")).length, 20);
});

Deno.test("Redis over maxmemory uses no attempt, and the channel goes on once there is room", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await accept(stage, 3);
  const publisher = await stage.publisher("push");
  await stage.redis.config("SET", "maxmemory", "1");
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "3", attempts: "0" }]);
  await stage.redis.config("SET", "maxmemory", "0");
  await publisher.pass();
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 3);
});

Deno.test("intake goes on while Redis is over maxmemory, also for an instance that has to take the lease", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await stage.addIntent();
  await stage.redis.config("SET", "maxmemory", "1");
  const stop = new AbortController();
  const consumer = await stage.consumer();
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.redis.config("SET", "maxmemory", "0");
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "1");
});

Deno.test("what the Redis user may not do: a denied XADD is the route's failure, a denied lease takes the entry back", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await accept(stage, 1);
  const publisher = await stage.publisher("push", { ladder: { backoffMinMs: 1, backoffMaxMs: 1 } });
  const acl = (rule: string) => stage.redis.call("ACL", "SETUSER", "default", rule);
  await acl("-xadd");
  await publisher.pass();
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  await stage.query("UPDATE notification.routes SET next_attempt_at = now() WHERE status = 'failed'");
  await acl("+xadd");
  await acl("-set");
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.equal((await stage.delivered("push")).length, 0);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  // Neither lease nor taking back: the entry is there, and counts.
  await acl("-xdel");
  await publisher.pass();
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "2" }]);
  await acl("+@all");
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 1);
});

Deno.test("with too few replicas nothing counts as published, and the later retry appends nothing", async () => {
  await using stage = await openStage();
  await accept(stage, 2);
  const publisher = await stage.publisher("push", { waitReplicas: 1, operationTimeoutMs: 100 });
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "2", attempts: "0" }]);
  assert.equal((await stage.delivered("push")).length, 2);
  const without = await stage.publisher("push");
  await without.pass();
  await finish(publisher, without);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "2", attempts: "1" }]);
  assert.equal((await stage.delivered("push")).length, 2);
});

Deno.test("publishers side by side share the backlog and publish each route once", async () => {
  await using stage = await openStage();
  await accept(stage, 300);
  const publishers = await Promise.all(Array.from({ length: 4 }, () => stage.publisher("push", { batchSize: 20 })));
  const pending = "SELECT count(*) FROM notification.routes WHERE channel = 'push' AND status = 'pending'";
  const until = performance.now() + 60_000;
  while (await stage.value(pending) !== "0" && performance.now() < until) {
    await Promise.all(publishers.map((publisher) => publisher.pass()));
  }
  await finish(...publishers);
  const delivered = await stage.delivered("push");
  assert.equal(delivered.length, 300);
  assert.equal(new Set(delivered).size, 300);
});

Deno.test("a claim is bounded in bytes, brings each record once, and passes over routes set aside", async () => {
  await using stage = await openStage();
  const users = JSON.stringify(Array.from({ length: 200 }, (_, at) => `u${at}`));
  const filler = "x".repeat(200_000);
  await stage.addIntent({
    recipient_user_ids_json: users,
    payload_json: `{"game_id":"g","game_name":"${filler}","turn_number":1}`,
  });
  const stop = new AbortController();
  const consumer = await stage.consumer();
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.makeClaimable();
  const options = { channel: "push", from: FROM_THE_BEGINNING } as const;
  const claim = await claimed(stage, { ...options, limit: 500, except: [] });
  assert.equal(claim.routes.length, Math.ceil(MAX_PASS_BYTES / 200_044));
  assert.equal(claim.isFull, true);
  assert.equal(new Set(claim.routes.map(({ record }) => record)).size, 1);
  const id = `${claim.routes[0]!.record.notificationId}/${claim.routes[0]!.routeId}`;
  const without = await claimed(stage, { ...options, limit: 1, except: [id] });
  assert.notEqual(without.routes[0]!.routeId, claim.routes[0]!.routeId);
});

async function claimed(stage: Stage, options: ClaimOptions) {
  return await withRecords(stage.pool, await lockDueRoutes(stage.pool, options));
}

/** Accepts what is in the stream, and gives what the consumer told of it. */
async function acceptedHere(stage: Stage): Promise<Accepted> {
  const told: Accepted[] = [];
  const stop = new AbortController();
  const consumer = await stage.consumer({ onAccepted: (accepted) => told.push(accepted) });
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  assert.equal(told.length, 1);
  return told[0]!;
}

/** What a publisher of the process that accepted them would take, as if they had been read just now or `ageMs` ago. */
async function freshOf(
  stage: Stage,
  accepted: Accepted,
  { channel = "push", ageMs = 0 }: { channel?: "push" | "email"; ageMs?: number } = {},
): Promise<FreshRoutes> {
  const fresh = new FreshRoutes(systemClock.monotonic);
  const [seconds, microseconds] = await stage.redis.time();
  const freshFromMs = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) - ageMs;
  const { routes } = freshRoutesOf(accepted).get(channel)!;
  fresh.add({ freshFromMs, freshUntil: systemClock.monotonic() + FRESH_MS, routes });
  return fresh;
}

Deno.test("a route that was accepted here is the same as one that is claimed", async () => {
  await using stage = await openStage();
  await stage.addIntent({ request_id: "r-1", trace_id: "t-1", idempotency_key: "kept" });
  await stage.addIntent({
    payload_json: '{"game_id":"ü","game_name":"x","turn_number":1.0e1}',
    idempotency_key: "bare",
  });
  const accepted = await acceptedHere(stage);
  await stage.makeClaimable();
  for (const channel of ["push", "email"] as const) {
    const { routes } = await claimed(stage, { channel, from: FROM_THE_BEGINNING, limit: 500, except: [] });
    assert.equal(routes.length, 2);
    assert.deepEqual(freshRoutesOf(accepted).get(channel)?.routes, routes);
  }
});

Deno.test("for two seconds nobody claims what was accepted; what failed before is claimed when it is due", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 3; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  await acceptedHere(stage);
  const age = (routeId: string, change: string) =>
    stage.query(`UPDATE notification.routes SET ${change} WHERE route_id = $1`, [routeId]);
  await stage.query("UPDATE notification.routes SET next_attempt_at = now()");
  await age("push:user:u1", "attempt_count = 1, status = 'failed'");
  await age("push:user:u2", `next_attempt_at = now() - interval '${FRESH_MS + 1} milliseconds'`);
  const { routes, isFull } = await claimed(stage, {
    channel: "push",
    from: FROM_THE_BEGINNING,
    limit: 500,
    except: [],
  });
  assert.deepEqual(routes.map(({ routeId }) => routeId), ["push:user:u2", "push:user:u1"]);
  assert.equal(isFull, false);
});

Deno.test("a publisher takes what its process accepted without a claim, in full batches, and records it", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 25; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const freshRoutes = await freshOf(stage, await acceptedHere(stage));
  const publisher = await stage.publisher("push", { freshRoutes, batchSize: 10 });
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 10);
  // In turn with what has to be claimed: nothing, as these are nobody else's.
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 10);
  assert.equal(await publisher.pass(), "again");
  assert.equal(await publisher.pass(), "idle");
  await finish(publisher);
  assert.equal(new Set(await stage.delivered("push")).size, 25);
  assert.equal(await stage.redis.xlen(STREAMS.push), 25);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  for (const key of await stage.redis.keys("route_leases:*")) {
    const ttl = await stage.redis.pttl(key);
    assert.ok(ttl > 0 && ttl <= 10_000, `${ttl}`);
  }
});

Deno.test("what is not fresh any more is not appended, but left to be claimed", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 3; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  // As if the process had been paused after the commit: Redis's clock says so, this process's does not.
  const freshRoutes = await freshOf(stage, accepted, { ageMs: FRESH_MS + 1 });
  const publisher = await stage.publisher("push", { freshRoutes });
  while (await publisher.pass() === "again");
  assert.ok(freshRoutes.isEmpty);
  assert.equal(await stage.redis.xlen(STREAMS.push), 0);
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "3", attempts: "0" }]);
  await stage.makeClaimable();
  const other = await stage.publisher("push");
  await other.pass();
  await finish(publisher, other);
  assert.equal((await stage.delivered("push")).length, 3);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "3", attempts: "1" }]);
});

Deno.test("fresh routes whose outcomes are lost are claimed later, and not appended again", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 5; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const freshRoutes = await freshOf(stage, await acceptedHere(stage));
  const heal = await stage.failRecording();
  const publisher = await stage.publisher("push", { freshRoutes });
  await publisher.pass();
  await finish(publisher);
  await assert.rejects(publisher.pass(), { code: "57P02" });
  assert.equal(await publisher.pass(), "idle");
  const before = await stage.delivered("push");
  assert.equal(before.length, 5);
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "5", attempts: "0" }]);
  await heal();
  await stage.makeClaimable();
  const other = await stage.publisher("push");
  await other.pass();
  await finish(publisher, other);
  assert.deepEqual(await stage.delivered("push"), before);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "5", attempts: "1" }]);
});

Deno.test("of two publishers that have one route at once, one appends it, and an attempt counts once", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = await acceptedHere(stage);
  await stage.makeClaimable();
  const other = await stage.publisher("push");
  // The other one has claimed it, as it may once the two seconds are over; the acceptor does not know.
  await stage.redis.set(STREAMS.push, "no stream");
  await other.pass();
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  const acceptor = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted) });
  while (await acceptor.pass() === "again");
  await finish(acceptor);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  await stage.redis.del(STREAMS.push);
  const late = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted) });
  while (await late.pass() === "again");
  await finish(other, late);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "2" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 1);
});

Deno.test("what both channels publish at about the same time is recorded by one transaction", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 5; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const recorder = new Recorder({
    postgres: stage.pool,
    redis: await stage.connection(),
    clock: { ...systemClock, sleep: () => systemClock.sleep(200) },
  });
  const push = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted), recorder });
  const freshRoutes = await freshOf(stage, accepted, { channel: "email" });
  const email = await stage.publisher("email", { freshRoutes, recorder, batchSize: 3 });
  await Promise.all([push.pass(), email.pass()]);
  while (await email.pass() === "again");
  await finish(push, email);
  assert.deepEqual(
    await stage.query("SELECT status, count(*), count(DISTINCT xmin::text) AS by FROM notification.routes GROUP BY 1"),
    [{ status: "published", count: "10", by: "1" }],
  );
  const leases = await stage.redis.keys("route_leases:*");
  assert.equal(leases.length, 10);
  for (const key of leases) assert.ok(await stage.redis.pttl(key) <= 10_000);
});

/** How many routes are published, `expected` at least, while none can be recorded; then it goes on to the end. */
async function aheadOfRecord(stage: Stage, publisher: Publisher, expected: number): Promise<number> {
  const other = await stage.pool.connect();
  await other.query("BEGIN");
  await other.query("SELECT FROM notification.routes WHERE channel = 'push' FOR UPDATE");
  const working = (async () => {
    while (await publisher.pass() === "again");
  })();
  await eventually(async () => await stage.redis.xlen(STREAMS.push) >= expected);
  await systemClock.sleep(300);
  const ahead = await stage.redis.xlen(STREAMS.push);
  await other.query("ROLLBACK");
  other.release();
  await working;
  return ahead;
}

Deno.test("a publisher goes on while PostgreSQL records, two batches ahead and no further", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 25; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const publisher = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted), batchSize: 5 });
  assert.equal(await aheadOfRecord(stage, publisher, 10), 10);
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 25);
});

Deno.test("of large payloads fewer routes wait to be recorded", async () => {
  await using stage = await openStage();
  const payloadOf = (at: number) => `{"game_id":"g${at}","game_name":"${"x".repeat(200_000)}","turn_number":1}`;
  for (let at = 0; at < 40; at++) await stage.addIntent({ payload_json: payloadOf(at), idempotency_key: `k${at}` });
  const stop = new AbortController();
  const told: Accepted[] = [];
  const consumer = await stage.consumer({ onAccepted: (accepted) => told.push(accepted) });
  const count = () => told.reduce((sum, { intents }) => sum + intents.length, 0);
  while (count() < 40) await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  const accepted = { ...told[0]!, intents: told.flatMap(({ intents }) => intents) };
  const publisher = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted) });
  // Two passes of 2 MiB each.
  assert.equal(await aheadOfRecord(stage, publisher, 22), 22);
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "40", attempts: "1" }]);
});

Deno.test("outcomes that could not be recorded are told by the next pass, or at the end; claims see to it first", async () => {
  await using log = await captureLog();
  await using stage = await openStage();
  for (let at = 0; at < 6; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const [first, second] = [accepted.intents.slice(0, 3), accepted.intents.slice(3)];
  const freshRoutes = await freshOf(stage, { ...accepted, intents: first });
  const heal = await stage.failRecording();
  const publisher = await stage.publisher("push", { freshRoutes });
  await publisher.pass();
  await eventually(() => publisher.pass().then(() => false, (error) => error.code === "57P02"));
  const { routes } = freshRoutesOf({ ...accepted, intents: second }).get("push")!;
  const [seconds] = await stage.redis.time();
  const freshFromMs = Number(seconds) * 1000;
  freshRoutes.add({ freshFromMs, freshUntil: systemClock.monotonic() + FRESH_MS, routes });
  // The first pass after a failure is a claim, which finds that PostgreSQL answers.
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 3);
  assert.equal(await publisher.pass(), "idle");
  assert.equal(await stage.redis.xlen(STREAMS.push), 6);
  await finish(publisher);
  const told = (await log.messages()).filter((text) => text.includes("could not be recorded"));
  assert.deepEqual(told, ["warn the outcomes of the last routes could not be recorded"]);
  await heal();
});

Deno.test("the retry of a fresh route wakes the loop that already waits for longer", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await stage.redis.set(STREAMS.push, "no stream");
  const freshRoutes = await freshOf(stage, await acceptedHere(stage));
  const clock = { ...systemClock, sleep: () => systemClock.sleep(200) };
  const recorder = new Recorder({ postgres: stage.pool, redis: await stage.connection(), clock });
  const publisher = await stage.publisher("push", {
    freshRoutes,
    recorder,
    ladder: { backoffMinMs: 20, backoffMaxMs: 20 },
  });
  const never = new AbortController().signal;
  await publisher.pass();
  await publisher.idle(never);
  assert.equal(await publisher.pass(), "idle");
  // Nothing can be claimed yet, and the outcome is not recorded: without it this would be a second.
  const startedAt = performance.now();
  await publisher.idle(never);
  await publisher.idle(never);
  assert.ok(performance.now() - startedAt < 800);
  await publisher.pass();
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "2" }]);
  await finish(publisher);
});

Deno.test("leases of routes that PostgreSQL does not know are not cut", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const freshRoutes = await freshOf(stage, await acceptedHere(stage));
  // As after PostgreSQL was put back to an earlier point: the entry is read again, and its route found published.
  await stage.query("TRUNCATE notification.records, notification.routes");
  const publisher = await stage.publisher("push", { freshRoutes });
  while (await publisher.pass() === "again");
  await finish(publisher);
  const [key] = await stage.redis.keys("route_leases:*");
  assert.ok(await stage.redis.pttl(key!) > 10_000);
});

Deno.test("a claim is cut where its payloads get too large, and skips none", async () => {
  await using stage = await openStage();
  const payloadOf = (at: number) => `{"game_id":"g${at}","game_name":"${"x".repeat(60_000)}","turn_number":1}`;
  for (let at = 0; at < 60; at++) await stage.addIntent({ payload_json: payloadOf(at) });
  const stop = new AbortController();
  let accepted = 0;
  const consumer = await stage.consumer({ onAccepted: ({ intents }) => accepted += intents.length });
  while (accepted < 60) await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  await stage.makeClaimable();

  const options = { channel: "push", from: FROM_THE_BEGINNING, limit: 500, except: [] } as const;
  const all = await stage.query<{ id: string }>(
    "SELECT notification_id AS id FROM notification.routes WHERE channel = 'push' ORDER BY next_attempt_at, ctid",
  );
  const claim = await claimed(stage, options);
  assert.deepEqual([claim.isFull, claim.upTo], [true, ""]);
  assert.ok(claim.routes.length >= MAX_PASS_BYTES / 60_100 && claim.routes.length < 60, `${claim.routes.length}`);
  const ids = claim.routes.map(({ record }) => record.notificationId);
  assert.deepEqual(ids.toSorted(), all.slice(0, ids.length).map(({ id }) => id).toSorted());
});

Deno.test("a publisher whose claims are too old tells so, takes fewer, and goes on when they are not", async () => {
  await using log = await captureLog();
  await using stage = await openStage();
  await accept(stage, 8);
  const redis = await stage.connection();
  // Redis's time as it was eleven seconds before.
  let offsetMs = 11_000;
  const call = redis.call.bind(redis);
  redis.call = async (command, ...args) => {
    const reply = await call(command, ...args);
    return command === "TIME" ? [Number((reply as string[])[0]) - offsetMs / 1000, (reply as string[])[1]] : reply;
  };
  const publisher = await stage.publisher("push", { redis });
  assert.equal(await publisher.pass(), "idle");
  assert.equal(await publisher.pass(), "idle");
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "8", attempts: "0" }]);
  offsetMs = 0;
  for (let passes = 0; passes < 4; passes++) await publisher.pass();
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "8", attempts: "1" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 8);
  const told = (await log.lines()).filter(({ message }) => String(message).startsWith("a claim was too old"));
  assert.deepEqual(told.map(({ routes }) => routes), [8, 4]);
  await publisher.close();
});

Deno.test("routes behind the place where the last claim ended are found by a full scan", async () => {
  await using stage = await openStage();
  await accept(stage, 4);
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { clock });
  await publisher.pass();
  // As another instance's slower transaction would leave them.
  await stage.query(`
    UPDATE notification.routes SET status = 'pending', next_attempt_at = now() - interval '1 hour'
    WHERE route_id = 'email:user:u1'`);
  await stage.query("UPDATE notification.routes SET channel = 'push' WHERE route_id = 'email:user:u1'");
  clock.ms += 10_000;
  await publisher.pass();
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 5);
});

Deno.test("a clock that is set back does not keep routes from being found", async () => {
  await using stage = await openStage();
  await accept(stage, 3);
  const clock = Object.assign(new TestClock(), { setBackMs: 0, now: () => Date.now() - clock.setBackMs });
  const publisher = await stage.publisher("push", { clock });
  await publisher.pass();
  // Due before all that was looked at: what is due by a clock that was set back.
  await stage.query(`
    UPDATE notification.routes SET next_attempt_at = now() - interval '1 hour' WHERE route_id = 'email:user:u1'`);
  await stage.query("UPDATE notification.routes SET channel = 'push' WHERE route_id = 'email:user:u1'");
  clock.setBackMs = 3_600_000;
  clock.ms += 10_000;
  await publisher.pass();
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 4);
});

Deno.test("a fresh route's last attempt is left to a claim, which nobody can have had it published since", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = { ...await acceptedHere(stage), maxAttempts: { push: 1, email: 1 } };
  await stage.query("UPDATE notification.routes SET max_attempts = 1");
  await stage.redis.set(STREAMS.push, "no stream");
  const publisher = await stage.publisher("push", { freshRoutes: await freshOf(stage, accepted) });
  while (await publisher.pass() === "again");
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "1", attempts: "0" }]);
  await stage.makeClaimable();
  const claiming = await stage.publisher("push");
  await claiming.pass();
  await finish(publisher, claiming);
  assert.deepEqual(await statuses(stage), [{ status: "dead_letter", count: "1", attempts: "1" }]);
});

Deno.test("a Redis that is away is an outage and changes nothing", async () => {
  await using stage = await openStage();
  await accept(stage, 1);
  const redis = await stage.connection();
  const publisher = await stage.publisher("push", { redis });
  await redis.close();
  await assert.rejects(publisher.pass(), (error) => outageOf(error)?.dependency === "redis");
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "1", attempts: "0" }]);
});
