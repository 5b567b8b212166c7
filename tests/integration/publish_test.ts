/** The publisher's pass on real servers: every route is published once, whatever fails, is lost or repeated. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/clock.ts";
import { OutageError, outageOf } from "../../src/lifecycle/outage.ts";
import type { Channel, ClaimedRoute } from "../../src/notification/route.ts";
import { claimDue, FROM_THE_BEGINNING } from "../../src/publish/claim_due.ts";
import { DueRoutes } from "../../src/publish/due_routes.ts";
import type { Publisher } from "../../src/publish/publisher.ts";
import { ROUTE_LEASE_PATTERN, routeLeaseKey, streamOffsetKey } from "../../src/redis/keys.ts";
import { type Batch, MAX_BATCH_CHARS } from "../../src/relay/batch.ts";
import { BIRTH_CLAIM_MS, CLAIM_MS } from "../../src/notification/route.ts";
import { type AcceptedBatch, batchesOf, type ChannelRelay, Relay } from "../../src/relay/relay.ts";
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import { captureLog } from "../support/captured_log.ts";
import { openStage, type Stage, STREAMS, TestClock } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

/** Accepts `count` intents for one user each, which are due for any process afterwards. */
async function accept(stage: Stage, count: number): Promise<void> {
  for (let at = 0; at < count; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  await acceptedHere(stage);
  await stage.endClaims();
}

/** Accepts all entries of the stream, and returns what the consumer hands over, of all passes together. */
async function acceptedHere(stage: Stage): Promise<AcceptedBatch> {
  const handedOver: AcceptedBatch[] = [];
  const stop = new AbortController();
  const relay = {
    room: () => Promise.resolve(),
    handOver: (accepted: AcceptedBatch) => void handedOver.push(accepted),
  };
  const consumer = await stage.consumer({ relay });
  const expected = await stage.redis.xlen("notification:intents");
  const count = () => handedOver.reduce((sum, { intents }) => sum + intents.length, 0);
  while (count() < expected) await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close();
  return { ...handedOver[0]!, intents: handedOver.flatMap(({ intents }) => intents) };
}

/** A relay with accepted routes, as if they were read now or `ageMs` ago by Redis's clock. */
async function relayWith(
  stage: Stage,
  accepted: AcceptedBatch,
  { channel = "push", ageMs = 0 }: { channel?: Channel; ageMs?: number } = {},
): Promise<ChannelRelay> {
  const relay = new Relay(systemClock).channels[channel];
  relay.accepted.add(await justTaken(stage, batchesOf(accepted).get(channel)!, ageMs));
  return relay;
}

async function justTaken(stage: Stage, batch: Batch, ageMs = 0): Promise<Batch> {
  const [seconds, microseconds] = await stage.redis.time();
  const takenAtMs = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) - ageMs;
  return { ...batch, takenAtMs, takenAt: systemClock.monotonic() };
}

/** Only the second source of batches. */
async function dueRoutes(stage: Stage, batchSize = 1000): Promise<DueRoutes> {
  return new DueRoutes({
    channel: "push",
    batchSize,
    catalog: embeddedCatalog(),
    postgres: stage.pool,
    redis: await stage.connection(),
    clock: systemClock,
  });
}

/**
 * Runs a pass whose hand-off is held: meanwhile `look` is called. Returns when the hand-off, too, is over and all
 * outcomes are written.
 */
async function whileHandedOff(
  stage: Stage,
  relay: ChannelRelay | undefined,
  look: () => Promise<void>,
): Promise<void> {
  const redis = await stage.connection();
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const run = redis.run.bind(redis);
  redis.run = async (script, keys, args) => {
    if (keys.includes(STREAMS.push)) {
      begun.resolve();
      await held.promise;
    }
    return await run(script, keys, args);
  };
  const publisher = await stage.publisher("push", { redis, ...(relay === undefined ? {} : { relay }) });
  const passing = publisher.pass();
  try {
    await Promise.race([begun.promise, passing]);
    assert.equal(await stage.redis.xlen(STREAMS.push), 0, "the hand-off is held");
    await look();
  } finally {
    held.resolve();
    await passing;
  }
  await work(publisher);
}

/** SQL condition: the other sessions in the database, without the server's own processes. */
const OTHERS = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";

/** Fails if any session has an open transaction, holds a lock, or keeps another session from locking a route. */
async function nothingIsLocked(stage: Stage): Promise<void> {
  const observer = stage.poolWith(5000);
  const client = await observer.connect();
  try {
    const { rows: open } = await client.query(`
      SELECT state, query FROM pg_stat_activity
      WHERE ${OTHERS} AND (state <> 'idle' OR xact_start IS NOT NULL)`);
    assert.deepEqual(open, []);
    const { rows: locks } = await client.query(`
      SELECT locktype, mode, relation::regclass::text
      FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE ${OTHERS}`);
    assert.deepEqual(locks, []);
    await client.query("BEGIN");
    const locked = await client.query("SELECT FROM notification.routes FOR UPDATE NOWAIT");
    assert.equal(locked.rowCount, 6);
    await client.query("ROLLBACK");
  } finally {
    client.release();
    await observer.close(1000);
  }
}

/** Runs passes until nothing is left to do, and all outcomes are written. */
async function work(publisher: Publisher): Promise<void> {
  while (await publisher.pass() === "again");
  await publisher.close();
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

/** Waits until all outcomes are written. */
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
  await finish(publisher);
  const delivered = await stage.delivered("push");
  assert.equal(delivered.length, 25);
  assert.equal(new Set(delivered).size, 25);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  assert.equal(await stage.redis.xlen(STREAMS.email), 0);
});

Deno.test("routes whose outcomes are lost are not appended again, and keep their entry ids", async () => {
  await using stage = await openStage();
  await accept(stage, 5);
  const heal = await stage.failWriting();
  const publisher = await stage.publisher("push");
  await publisher.pass();
  await eventually(() => publisher.pass().then(() => false, (error) => error.code === "57P02"));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "5", attempts: "0" }]);
  const before = await stage.redis.xrange(STREAMS.push, "-", "+");
  assert.equal(before.length, 5);
  await heal();
  await stage.endClaims();
  await work(publisher);
  assert.deepEqual(await stage.redis.xrange(STREAMS.push, "-", "+"), before);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "5", attempts: "1" }]);
  const written = await stage.query<{ published_entry_id: string }>(
    "SELECT published_entry_id FROM notification.routes WHERE channel = 'push' ORDER BY published_entry_id",
  );
  assert.deepEqual(written.map((row) => row.published_entry_id), before.map(([id]) => id));
});

Deno.test("leases live for a claim's life after the outcomes are committed, and for their full time before", async () => {
  await using stage = await openStage();
  await accept(stage, 3);
  const publisher = await stage.publisher("push");
  await publisher.pass();
  await finish(publisher);
  const keys = await stage.redis.keys(ROUTE_LEASE_PATTERN);
  assert.equal(keys.length, 3);
  for (const key of keys) {
    assert.match(await stage.redis.get(key) ?? "", /^published:\d+-\d+$/);
    const ttl = await stage.redis.pttl(key);
    assert.ok(ttl > 0 && ttl <= 10_000, `${ttl}`);
  }
});

Deno.test("the copy of the offset follows the row also if another process has written the outcomes", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = await acceptedHere(stage);
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  // As if that process had died after its commit.
  await stage.redis.del(streamOffsetKey(STREAMS.push));
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "1" }]);
  const [[entry_id]] = await stage.redis.xrange(STREAMS.push, "-", "+") as [[string, string[]]];
  const [row] = await stage.query("SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1", [
    STREAMS.push,
  ]);
  assert.deepEqual(row, { entry_id, entries_read: "2" });
  assert.deepEqual(await stage.redis.hgetall(streamOffsetKey(STREAMS.push)), row);
});

Deno.test("a stream of the wrong type uses attempts up to the dead letter; the other channel is untouched", async () => {
  await using stage = await openStage();
  await accept(stage, 2);
  await stage.redis.set(STREAMS.push, "no stream");
  const push = await stage.publisher("push", { ladder: { backoffMinMs: 1, backoffMaxMs: 1 } });
  const email = await stage.publisher("email");
  await push.pass();
  await finish(push);
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
  await stage.redis.lpush(routeLeaseKey(route!.notification_id, route!.route_id), "x");
  const publisher = await stage.publisher("push");
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [
    { status: "failed", count: "1", attempts: "1" },
    { status: "published", count: "2", attempts: "1" },
  ]);
});

Deno.test("a route of an unknown type is left to other instances for an hour, and then becomes a dead letter", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await accept(stage, 2);
  const publisher = await stage.publisher("push", { catalog: new Map() });
  await work(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "2", attempts: "0" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 0);
  const left = (await log.lines()).filter(({ message }) => String(message).includes("left to other instances"));
  assert.deepEqual(left.map(({ level, notification_type }) => [level, notification_type]), [[
    "warn",
    "game.turn.ready",
  ]]);
  await stage.query("DELETE FROM notification.routes WHERE route_id = 'push:user:u1'");
  await stage.query("UPDATE notification.records SET accepted_at = now() - interval '61 minutes'");
  await stage.endClaims();
  await work(await stage.publisher("push", { catalog: new Map() }));
  assert.deepEqual(await statuses(stage), [{ status: "dead_letter", count: "1", attempts: "1" }]);
  assert.equal(
    await stage.value("SELECT failure_classification FROM notification.dead_letters"),
    "payload_encoding_failed",
  );
});

Deno.test("one outcome that PostgreSQL refuses does not keep others from being written, and its route is published once", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await accept(stage, 20);
  await stage.query(`
    ALTER TABLE notification.routes
    ADD CONSTRAINT refuse CHECK (NOT (route_id = 'push:user:u13' AND status = 'published'))`);
  const publisher = await stage.publisher("push");
  await work(publisher);
  assert.deepEqual(await statuses(stage), [
    { status: "pending", count: "1", attempts: "0" },
    { status: "published", count: "19", attempts: "1" },
  ]);
  const refused = (await log.lines()).filter(({ message }) => String(message).includes("can't be written"));
  assert.deepEqual(refused.map(({ level, route_id }) => [level, route_id]), [["error", "push:user:u13"]]);
  await stage.query("ALTER TABLE notification.routes DROP CONSTRAINT refuse");
  await stage.endClaims();
  await work(await stage.publisher("push"));
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "20", attempts: "1" }]);
  assert.equal(new Set(await stage.delivered("push")).size, 20);
  assert.equal((await stage.delivered("push")).length, 20);
});

Deno.test("Redis over maxmemory uses no attempt, and the channel resumes once there is room", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await accept(stage, 3);
  const publisher = await stage.publisher("push");
  await stage.redis.config("SET", "maxmemory", "1");
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "3", attempts: "0" }]);
  // A doubtful publisher takes no batch that would be refused.
  await stage.endClaims();
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes WHERE next_attempt_at > now()"), "0");
  await stage.redis.config("SET", "maxmemory", "0");
  await work(publisher);
  assert.equal((await stage.delivered("push")).length, 3);
});

Deno.test("intake continues while Redis is over maxmemory, also in an instance that has to take the lease", async () => {
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

Deno.test("missing rights: a denied XADD is the route's failure, a denied lease removes the entry again", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await accept(stage, 1);
  const publisher = await stage.publisher("push", { ladder: { backoffMinMs: 1, backoffMaxMs: 1 } });
  const acl = (rule: string) => stage.redis.call("ACL", "SETUSER", "default", rule);
  await acl("-xadd");
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  await stage.query("UPDATE notification.routes SET next_attempt_at = now() WHERE status = 'failed'");
  await acl("+xadd");
  await acl("-set");
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.equal((await stage.delivered("push")).length, 0);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  // Neither lease nor XDEL is allowed: the entry stays and counts as published.
  await acl("-xdel");
  await stage.endClaims();
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "2" }]);
  await acl("+@all");
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 1);
});

Deno.test("with too few replicas no route counts as published, and a later retry appends nothing", async () => {
  await using stage = await openStage();
  await accept(stage, 2);
  const publisher = await stage.publisher("push", { waitReplicas: 1, operationTimeoutMs: 100 });
  await assert.rejects(publisher.pass(), isOutage("redis"));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "2", attempts: "0" }]);
  assert.equal((await stage.delivered("push")).length, 2);
  await stage.endClaims();
  const without = await stage.publisher("push");
  await without.pass();
  await finish(publisher, without);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "2", attempts: "1" }]);
  assert.equal((await stage.delivered("push")).length, 2);
});

Deno.test("several publishers share the backlog and publish each route once", async () => {
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

Deno.test("a claimed batch is bounded in payload, and reads each record once", async () => {
  await using stage = await openStage();
  const users = JSON.stringify(Array.from({ length: 200 }, (_, at) => `u${at}`));
  const filler = "x".repeat(200_000);
  await stage.addIntent({
    recipient_user_ids_json: users,
    payload_json: `{"game_id":"g","game_name":"${filler}","turn_number":1}`,
  });
  await acceptedHere(stage);
  await stage.endClaims();
  const due = await dueRoutes(stage);
  const batch = await due.take(500);
  assert.equal(batch!.routes.length, Math.ceil(MAX_BATCH_CHARS / 200_044));
  assert.equal(new Set(batch!.routes.map(({ record }) => record)).size, 1);
  assert.equal(due.inMs, 0);
});

Deno.test("a claim moves next_attempt_at ahead: until then no other claim takes the routes", async () => {
  await using stage = await openStage();
  await accept(stage, 3);
  const options = { channel: "push", from: FROM_THE_BEGINNING, limit: 2 } as const;
  const claims = await Promise.all([claimDue(stage.pool, options), claimDue(stage.pool, options)]);
  const [full, rest] = claims.toSorted((a, b) => b.routes.length - a.routes.length);
  assert.deepEqual([full!.routes.length, full!.isFull, full!.nextDueInMs], [2, true, undefined]);
  assert.deepEqual([rest!.routes.length, rest!.isFull], [1, false]);
  const until =
    "SELECT max(next_attempt_at - now()) > interval '9 seconds' FROM notification.routes WHERE channel = 'push'";
  assert.equal(await stage.value(until), "true");
  const again = await claimDue(stage.pool, options);
  assert.deepEqual(again.routes, []);
  assert.ok(again.nextDueInMs! > CLAIM_MS - 1000 && again.nextDueInMs! <= CLAIM_MS, `${again.nextDueInMs}`);
  const written = await stage.value(
    "SELECT min(next_attempt_at)::text FROM notification.routes WHERE channel = 'push'",
  );
  assert.ok(claims.some(({ routes }) => routes[0]?.claimedUntil === written));
  await stage.query("UPDATE notification.routes SET next_attempt_at = 'infinity'");
  assert.equal((await claimDue(stage.pool, options)).nextDueInMs, Infinity);
});

Deno.test("a route that was accepted here equals one that is claimed", async () => {
  await using stage = await openStage();
  await stage.addIntent({ request_id: "r-1", trace_id: "t-1", idempotency_key: "kept" });
  await stage.addIntent({
    payload_json: '{"game_id":"ü","game_name":"x","turn_number":1.0e1}',
    idempotency_key: "bare",
  });
  const born = batchesOf(await acceptedHere(stage)).get("push")!;
  assert.equal(born.lifeMs, BIRTH_CLAIM_MS);
  assert.equal(
    await stage.value("SELECT string_agg(DISTINCT next_attempt_at::text, ' ') FROM notification.routes"),
    born.routes[0]!.claimedUntil,
  );
  await stage.endClaims();
  const batch = await (await dueRoutes(stage)).take(500);
  assert.equal(batch!.routes.length, 2);
  const withoutClaim = ({ claimedUntil: _, ...route }: ClaimedRoute) => route;
  assert.deepEqual(born.routes.map(withoutClaim), batch!.routes.map(withoutClaim));
});

for (const source of ["accepted", "due"]) {
  Deno.test(`while ${source} routes are handed off no transaction is open and no row is locked`, async () => {
    await using stage = await openStage();
    for (let at = 0; at < 3; at++) await stage.addIntent();
    const accepted = await acceptedHere(stage);
    if (source === "due") await stage.endClaims();
    const relay = source === "due" ? undefined : await relayWith(stage, accepted);
    await whileHandedOff(stage, relay, () => nothingIsLocked(stage));
    assert.deepEqual(await statuses(stage), [{ status: "published", count: "3", attempts: "1" }]);
  });
}

Deno.test("for two seconds no other process claims accepted routes", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await acceptedHere(stage);
  const due = await dueRoutes(stage);
  assert.equal(await due.take(500), undefined);
  assert.ok(due.inMs > 500, `${due.inMs}`);
  await eventually(async () => await due.take(500) !== undefined, { timeoutMs: BIRTH_CLAIM_MS + 1500 });
});

Deno.test("a publisher takes the routes that its process accepted without a claim, in full batches, and writes the outcomes", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 25; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const relay = await relayWith(stage, await acceptedHere(stage));
  const publisher = await stage.publisher("push", { relay, batchSize: 10 });
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 10);
  // Every second pass looks for due routes, of which there are none: this process has claimed them.
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 10);
  assert.equal(await publisher.pass(), "again");
  assert.equal(await publisher.pass(), "idle");
  await finish(publisher);
  assert.equal(new Set(await stage.delivered("push")).size, 25);
  assert.equal(await stage.redis.xlen(STREAMS.push), 25);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  for (const key of await stage.redis.keys(ROUTE_LEASE_PATTERN)) {
    const ttl = await stage.redis.pttl(key);
    assert.ok(ttl > 0 && ttl <= 10_000, `${ttl}`);
  }
});

Deno.test("due routes get a turn at least once a second while accepted ones keep coming", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 13; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = batchesOf(await acceptedHere(stage)).get("push")!;
  await stage.query(
    "UPDATE notification.routes SET next_attempt_at = now() - interval '1 minute' WHERE recipient ~ 'u[0-2]$'",
  );
  const born = accepted.routes.filter(({ recipient }) => /u(\d\d|[3-9])$/.test(recipient));
  const relay = new Relay(systemClock).channels.push;
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { relay, batchSize: 1, clock });
  for (const route of born) {
    relay.accepted.add(await justTaken(stage, { ...accepted, routes: [route] }));
    clock.ms += 300;
    await publisher.pass();
  }
  await finish(publisher);
  const due = (await stage.delivered("push")).flatMap((id) => /u[0-2]$/.exec(id) ?? []);
  assert.deepEqual(due, ["u0", "u1", "u2"]);
});

Deno.test("a batch that is late is not appended, but left to be claimed", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  for (let at = 0; at < 3; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  // As if the process had been paused after the commit: only Redis's clock shows it.
  const relay = await relayWith(stage, accepted, { ageMs: BIRTH_CLAIM_MS + 1 });
  const publisher = await stage.publisher("push", { relay });
  await work(publisher);
  assert.ok(relay.accepted.isEmpty);
  assert.equal(await stage.redis.xlen(STREAMS.push), 0);
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "3", attempts: "0" }]);
  const late = (await log.lines()).filter(({ message }) => String(message).startsWith("a batch came too late"));
  assert.deepEqual(late.map(({ routes }) => routes), [3]);
  await stage.endClaims();
  await work(await stage.publisher("push"));
  assert.equal((await stage.delivered("push")).length, 3);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "3", attempts: "1" }]);
});

Deno.test("of two publishers that have one route at once, one appends it, and an attempt counts once", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = await acceptedHere(stage);
  await stage.endClaims();
  const other = await stage.publisher("push");
  // The other publisher has claimed it after the birth claim ended; the acceptor does not know.
  await stage.redis.set(STREAMS.push, "no stream");
  await other.pass();
  await finish(other);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "1" }]);
  await stage.redis.del(STREAMS.push);
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "2" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 1);
});

Deno.test("only the owner of a claim gives a route up; a publication is written by any process", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = { ...await acceptedHere(stage), maxAttempts: { push: 1, email: 1 } };
  await stage.query("UPDATE notification.routes SET max_attempts = 1");
  await stage.endClaims();
  // Another process has claimed the route, and has not written an outcome yet.
  const claim = await (await dueRoutes(stage)).take(10);
  assert.equal(claim!.routes.length, 1);
  await stage.redis.set(STREAMS.push, "no stream");
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "1", attempts: "0" }]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.dead_letters"), "0");
  await stage.redis.del(STREAMS.push);
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "1", attempts: "1" }]);
});

Deno.test("the last attempt within a claim at birth makes a dead letter at once", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const accepted = { ...await acceptedHere(stage), maxAttempts: { push: 1, email: 1 } };
  await stage.query("UPDATE notification.routes SET max_attempts = 1");
  await stage.redis.set(STREAMS.push, "no stream");
  await work(await stage.publisher("push", { relay: await relayWith(stage, accepted) }));
  assert.deepEqual(await statuses(stage), [{ status: "dead_letter", count: "1", attempts: "1" }]);
});

Deno.test("outcomes of both channels at about the same time are written by one transaction", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 5; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const writer = stage.writer(await stage.connection(), 200);
  const push = await stage.publisher("push", { relay: await relayWith(stage, accepted), writer });
  const relay = await relayWith(stage, accepted, { channel: "email" });
  const email = await stage.publisher("email", { relay, writer, batchSize: 3 });
  await Promise.all([push.pass(), email.pass()]);
  while (await email.pass() === "again");
  await finish(push, email);
  assert.deepEqual(
    await stage.query("SELECT status, count(*), count(DISTINCT xmin::text) AS by FROM notification.routes GROUP BY 1"),
    [{ status: "published", count: "10", by: "1" }],
  );
  const leases = await stage.redis.keys(ROUTE_LEASE_PATTERN);
  assert.equal(leases.length, 10);
  for (const key of leases) assert.ok(await stage.redis.pttl(key) <= 10_000);
});

/**
 * Publishes while no outcome can be written, at least `expected` routes; returns how many, then continues to the end.
 */
async function aheadOfWriting(stage: Stage, publisher: Publisher, expected: number): Promise<number> {
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

Deno.test("a publisher continues while PostgreSQL writes, at most two batches ahead", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 25; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const publisher = await stage.publisher("push", { relay: await relayWith(stage, accepted), batchSize: 5 });
  assert.equal(await aheadOfWriting(stage, publisher, 10), 10);
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "25", attempts: "1" }]);
  assert.equal(await stage.redis.xlen(STREAMS.push), 25);
});

Deno.test("outcomes that a publisher waits for are gathered no longer, however small its batches are", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 9; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const accepted = await acceptedHere(stage);
  const redis = await stage.connection();
  const publisher = await stage.publisher("push", {
    relay: await relayWith(stage, accepted),
    writer: stage.writer(redis, 3_600_000),
    redis,
    batchSize: 1,
  });
  while (await publisher.pass() === "again");
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "9", attempts: "1" }]);
});

Deno.test("with large payloads fewer routes wait to be written", async () => {
  await using stage = await openStage();
  const payloadOf = (at: number) => `{"game_id":"g${at}","game_name":"${"x".repeat(200_000)}","turn_number":1}`;
  for (let at = 0; at < 40; at++) await stage.addIntent({ payload_json: payloadOf(at), idempotency_key: `k${at}` });
  const accepted = await acceptedHere(stage);
  const publisher = await stage.publisher("push", { relay: await relayWith(stage, accepted) });
  // Two passes of 2 MiB each.
  assert.equal(await aheadOfWriting(stage, publisher, 22), 22);
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "40", attempts: "1" }]);
});

Deno.test("outcomes that could not be written are reported by the next pass, or at the end; a claim then comes first", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  for (let at = 0; at < 6; at++) await stage.addIntent({ recipient_user_ids_json: `["u${at}"]` });
  const batch = batchesOf(await acceptedHere(stage)).get("push")!;
  const relay = new Relay(systemClock).channels.push;
  relay.accepted.add(await justTaken(stage, { ...batch, routes: batch.routes.slice(0, 3) }));
  const heal = await stage.failWriting();
  const publisher = await stage.publisher("push", { relay });
  await publisher.pass();
  await eventually(() => publisher.pass().then(() => false, (error) => error.code === "57P02"));
  relay.accepted.add(await justTaken(stage, { ...batch, routes: batch.routes.slice(3) }));
  // The first pass after a failure is a claim, which shows that PostgreSQL answers.
  assert.equal(await publisher.pass(), "again");
  assert.equal(await stage.redis.xlen(STREAMS.push), 3);
  assert.equal(await publisher.pass(), "idle");
  assert.equal(await stage.redis.xlen(STREAMS.push), 6);
  await finish(publisher);
  const reported = (await log.messages()).filter((text) => text.includes("could not be written"));
  assert.deepEqual(reported, ["warn the outcomes of the last routes could not be written"]);
  await heal();
});

Deno.test("the retry of a route wakes the loop that already waits for longer", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await stage.redis.set(STREAMS.push, "no stream");
  const relay = await relayWith(stage, await acceptedHere(stage));
  const publisher = await stage.publisher("push", {
    relay,
    writer: stage.writer(await stage.connection(), 200),
    ladder: { backoffMinMs: 20, backoffMaxMs: 20 },
  });
  const never = new AbortController().signal;
  while (await publisher.pass() === "again");
  let rings = 0;
  const ring = relay.wake.ring.bind(relay.wake);
  relay.wake.ring = () => {
    rings++;
    ring();
  };
  // Nothing can be claimed yet, and the outcome is not written.
  await publisher.idle(never);
  await eventually(() => rings > 0);
  await publisher.idle(never);
  await publisher.pass();
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "failed", count: "1", attempts: "2" }]);
});

Deno.test("leases of routes that PostgreSQL does not have are not shortened", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const relay = await relayWith(stage, await acceptedHere(stage));
  // As after a restore of PostgreSQL: the entry is read again, and its route is found published.
  await stage.query("TRUNCATE notification.records, notification.routes");
  await work(await stage.publisher("push", { relay }));
  const [key] = await stage.redis.keys(ROUTE_LEASE_PATTERN);
  assert.ok(await stage.redis.pttl(key!) > 10_000);
});

Deno.test("leases that can't be shortened are reported, and do not keep routes from being published", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using log = captureLog();
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await accept(stage, 2);
  await stage.redis.call("ACL", "SETUSER", "default", "-pexpire");
  await work(await stage.publisher("push"));
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "2", attempts: "1" }]);
  const kept = (await log.lines()).filter(({ message }) => String(message).startsWith("leases can't be shortened"));
  assert.deepEqual(kept.map(({ level, leases }) => [level, leases]), [["warn", 2]]);
});

Deno.test("a claim of large payloads is published in several batches, and skips no route", async () => {
  await using stage = await openStage();
  const payloadOf = (at: number) => `{"game_id":"g${at}","game_name":"${"x".repeat(60_000)}","turn_number":1}`;
  for (let at = 0; at < 60; at++) await stage.addIntent({ payload_json: payloadOf(at) });
  await acceptedHere(stage);
  await stage.endClaims();
  const all = await stage.query<{ id: string }>(
    "SELECT notification_id AS id FROM notification.routes WHERE channel = 'push' ORDER BY next_attempt_at, ctid",
  );
  const due = await dueRoutes(stage);
  const batches: Batch[] = [];
  for (let batch = await due.take(500); batch !== undefined; batch = await due.take(500)) batches.push(batch);
  const sizes = batches.map(({ routes }) => routes.length);
  assert.ok(sizes[0]! >= MAX_BATCH_CHARS / 60_100 && sizes[0]! < 60, `${sizes}`);
  const ids = batches.flatMap(({ routes }) => routes.map(({ record }) => record.notificationId));
  assert.deepEqual(ids.toSorted(), all.map(({ id }) => id).toSorted());
  assert.equal(new Set(batches.map(({ takenAtMs }) => takenAtMs)).size, 1);
});

Deno.test("routes that are not read before their claim ends are due again", async () => {
  await using stage = await openStage();
  const payloadOf = (at: number) => `{"game_id":"g${at}","game_name":"${"x".repeat(200_000)}","turn_number":1}`;
  for (let at = 0; at < 15; at++) await stage.addIntent({ payload_json: payloadOf(at), idempotency_key: `k${at}` });
  await acceptedHere(stage);
  await stage.endClaims();
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { clock });
  assert.equal(await publisher.pass(), "again");
  const first = await stage.redis.xlen(STREAMS.push);
  assert.ok(first < 15);
  clock.ms += CLAIM_MS;
  assert.equal(await publisher.pass(), "idle");
  assert.equal(await stage.redis.xlen(STREAMS.push), first);
  await stage.endClaims();
  clock.ms += 10_000;
  while (await publisher.pass() === "again");
  await finish(publisher);
  assert.equal(await stage.redis.xlen(STREAMS.push), 15);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "15", attempts: "1" }]);
});

Deno.test("a publisher whose claims are too old logs it, takes fewer routes, and continues when they are not", async () => {
  await using log = captureLog();
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
  await publisher.pass();
  await stage.endClaims();
  const clocked = async () => {
    await eventually(async () => await publisher.pass() === "again" || offsetMs === 0, { timeoutMs: 5_000 });
  };
  await clocked();
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "8", attempts: "0" }]);
  offsetMs = 0;
  await stage.endClaims();
  await eventually(async () => {
    await publisher.pass();
    return await stage.redis.xlen(STREAMS.push) === 8;
  }, { timeoutMs: 15_000 });
  await finish(publisher);
  assert.deepEqual(await statuses(stage), [{ status: "published", count: "8", attempts: "1" }]);
  const late = (await log.lines()).filter(({ message }) => String(message).startsWith("a batch came too late"));
  assert.deepEqual(late.map(({ routes }) => routes).slice(0, 2), [8, 4]);
});

Deno.test("routes that became due before the last claim's time are found by a full scan", async () => {
  await using stage = await openStage();
  await accept(stage, 4);
  const clock = new TestClock();
  const publisher = await stage.publisher("push", { clock });
  await publisher.pass();
  // As a slower transaction of another instance leaves them.
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
  // Due by a clock that was set back, before all routes that were looked at.
  await stage.query(`
    UPDATE notification.routes SET next_attempt_at = now() - interval '1 hour' WHERE route_id = 'email:user:u1'`);
  await stage.query("UPDATE notification.routes SET channel = 'push' WHERE route_id = 'email:user:u1'");
  clock.setBackMs = 3_600_000;
  clock.ms += 10_000;
  await publisher.pass();
  await finish(publisher);
  assert.equal((await stage.delivered("push")).length, 4);
});

Deno.test("a Redis that can't be reached is an outage and changes nothing", async () => {
  await using stage = await openStage();
  await accept(stage, 1);
  const redis = await stage.connection();
  const publisher = await stage.publisher("push", { redis });
  await redis.close();
  await assert.rejects(publisher.pass(), (error) => outageOf(error)?.dependency === "redis");
  assert.deepEqual(await statuses(stage), [{ status: "pending", count: "1", attempts: "0" }]);
});
