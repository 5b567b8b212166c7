/**
 * The backlog's queries on real servers: their answers, and that PostgreSQL uses only the index of live routes, with
 * one look-up per channel for the age, whatever else is in the table.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import type pg from "pg";
import { backlogReader, readBacklog } from "../../src/backlog/backlog.ts";
import { liveRoutes, oldestDueMs } from "../../src/backlog/route_backlog.ts";
import { streamOffsetKey } from "../../src/redis/keys.ts";
import { INTENTS, openStage, type Stage, TestClock } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

interface Plan {
  readonly "Node Type": string;
  readonly "Index Name"?: string;
  readonly "Actual Rows": number;
  readonly Plans?: readonly Plan[];
}

/** Live routes, half of them due, among ten times as many that are finished. */
async function addRoutes(stage: Stage, live: number): Promise<void> {
  // In portions, each within the statement time-out of the stage's pool.
  for (let done = 0; done < live * 11; done += 22_000) {
    await stage.query(
      `INSERT INTO notification.routes (notification_id, route_id, channel, status, next_attempt_at, max_attempts, recipient)
       SELECT gen_random_uuid(), 'r', CASE WHEN n % 4 = 0 THEN 'push' ELSE 'email' END,
         CASE WHEN n % 11 = 0 THEN 'pending' ELSE 'published' END,
         CASE WHEN n % 11 = 0 THEN now() + (n % 2 - 0.5) * interval '1 hour' END, 3, 'user:u'
       FROM generate_series($1::int + 1, least($1::int + 22000, $2::int)) AS n`,
      [done, live * 11],
    );
  }
  await stage.query("VACUUM ANALYZE notification.routes");
}

/** The plan of the statement that `ask` runs. */
async function planOf(stage: Stage, ask: (client: Pick<pg.ClientBase, "query">) => Promise<unknown>): Promise<Plan[]> {
  let sql = "";
  const query = (statement: { text: string }) => {
    sql = statement.text;
    return stage.pool.query(statement);
  };
  await ask({ query: query as pg.ClientBase["query"] });
  const [row] = await stage.query<{ "QUERY PLAN": [{ Plan: Plan }] }>(`EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`);
  const all = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(all)];
  return all(row!["QUERY PLAN"][0].Plan);
}

for (const live of [10, 20_000]) {
  Deno.test(`the schedule's queries use the index of ${live} live routes`, async () => {
    await using stage = await openStage();
    await addRoutes(stage, live);

    const scansOf = (plans: Plan[]) => plans.filter((plan) => plan["Node Type"].includes("Scan"));
    const oldest = scansOf(await planOf(stage, oldestDueMs));
    assert.deepEqual(
      oldest.map((plan) => [plan["Node Type"], plan["Index Name"], plan["Actual Rows"]]),
      Array(2).fill(["Index Only Scan", "routes_live_idx", 1]),
      "one entry of the index a channel, however many there are",
    );
    const counted = scansOf(await planOf(stage, liveRoutes));
    assert.deepEqual(
      counted.map((plan) => [plan["Node Type"], plan["Index Name"]]),
      Array(2).fill(["Index Only Scan", "routes_live_idx"]),
    );
    const depths = await liveRoutes(stage.pool);
    assert.deepEqual(counted.map((plan) => plan["Actual Rows"]), [depths.push, depths.email]);
    assert.equal(depths.push + depths.email, live);
    const ages = await oldestDueMs(stage.pool);
    assert.ok(Math.max(ages.push, ages.email) >= 1_800_000 && Math.max(ages.push, ages.email) < 1_900_000);
  });
}

Deno.test("the schedule without routes is 0, and so is the age of a route that is not due yet", async () => {
  await using stage = await openStage();
  assert.deepEqual([await liveRoutes(stage.pool), await oldestDueMs(stage.pool)], [
    { push: 0, email: 0 },
    { push: 0, email: 0 },
  ]);
  await stage.query(
    `INSERT INTO notification.routes (notification_id, route_id, channel, status, next_attempt_at, max_attempts, recipient)
     VALUES (gen_random_uuid(), 'r', 'push', 'failed', now() + interval '1 hour', 3, 'user:u')`,
  );
  assert.deepEqual([await liveRoutes(stage.pool), await oldestDueMs(stage.pool)], [
    { push: 1, email: 0 },
    { push: 0, email: 0 },
  ]);
});

Deno.test("the intent stream's lag and age follow the consumer's offset, also with trimming and deletion", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const stop = new AbortController();
  const backlog = async () => {
    const { intents } = await readBacklog({ postgres: stage.pool, redis, stream: INTENTS });
    const { lag, oldestAgeMs, nextEntryId } = intents;
    return [lag, oldestAgeMs > 3_000_000 ? "old" : oldestAgeMs > 0 ? "young" : 0, nextEntryId];
  };
  const hourAgo = Date.now() - 3_600_000;
  assert.deepEqual(await backlog(), [0, 0, undefined], "no stream");
  for (let n = 1; n <= 4; n++) await stage.addIntent({}, `${hourAgo}-${n}`);
  assert.deepEqual(await backlog(), [4, "old", `${hourAgo}-1`], "no offset");
  const consumer = await stage.consumer({ batchSize: 2 });
  await consumer.pass(stop.signal);
  assert.deepEqual(await backlog(), [2, "old", `${hourAgo}-3`]);
  await consumer.pass(stop.signal);
  assert.deepEqual(await backlog(), [0, 0, undefined]);
  const minuteAgo = Date.now() - 60_000;
  for (let n = 0; n < 5; n++) await stage.addIntent({}, `${minuteAgo}-${n}`);
  assert.deepEqual(await backlog(), [5, "young", `${minuteAgo}-0`]);
  await stage.redis.xtrim(INTENTS, "MAXLEN", 3);
  assert.deepEqual(await backlog(), [3, "young", `${minuteAgo}-2`], "what was trimmed unread waits no more");
  // A pass may handle a read that was made ahead, before the entry existed.
  await eventually(async () => {
    await consumer.pass(stop.signal);
    return (await backlog())[0] !== 3;
  });
  assert.deepEqual(await backlog(), [1, "young", `${minuteAgo}-4`]);
  await stage.redis.xtrim(INTENTS, "MAXLEN", 0);
  assert.deepEqual(await backlog(), [0, 0, undefined]);

  // Another stream with the old name is read from its beginning.
  await stage.redis.del(INTENTS);
  await stage.addIntent({}, "5-0");
  await stage.addIntent({}, "6-0");
  assert.deepEqual(await backlog(), [2, "old", "5-0"]);
  stop.abort();
  await consumer.close();
});

Deno.test("while PostgreSQL does not answer, the copy of the offset in Redis is used", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const stop = new AbortController();
  for (let n = 0; n < 3; n++) await stage.addIntent();
  const consumer = await stage.consumer({ batchSize: 2 });
  await consumer.pass(stop.signal);
  stop.abort();
  await consumer.close(); // the copy exists now
  const stores = { postgres: stage.poolWith(1000), redis, stream: INTENTS };
  await stores.postgres.close(0);
  await assert.rejects(backlogReader(stores).intents());
  const ask = async () => (await backlogReader(stores, { offsetWaitMs: 1000 }).intents()).lag;
  assert.equal(await ask(), 1);
  await stage.redis.hset(streamOffsetKey(INTENTS), "entry_id", "no id");
  assert.equal(await ask(), 3);
});

Deno.test("an entry id far in the future hides neither the age of waiting entries nor a stall", async () => {
  await using stage = await openStage();
  await stage.redis.xadd(INTENTS, "99999999999999-0", "producer", "p");
  await stage.redis.xadd(INTENTS, "*", "producer", "p");
  const redis = await stage.connection();
  const clock = new TestClock();
  const reader = backlogReader({ postgres: stage.pool, redis, stream: INTENTS }, { clock });
  const first = await reader.intents();
  assert.deepEqual([first.lag, first.nextEntryId, first.oldestAgeMs], [2, "99999999999999-0", 0]);
  assert.ok(first.aheadMs > 1e12, `${first.aheadMs}`);
  clock.ms += 90_000;
  const second = await reader.intents();
  assert.deepEqual([second.oldestAgeMs, second.stalledMs], [90_000, 90_000]);
  // Intake moves on to an entry that has waited as long.
  await stage.query(
    "INSERT INTO notification.stream_offsets (stream, entry_id, entries_read) VALUES ($1, '99999999999999-0', 1)",
    [INTENTS],
  );
  const moved = await reader.intents();
  assert.deepEqual([moved.nextEntryId, moved.oldestAgeMs], ["99999999999999-1", 90_000]);
  assert.ok(moved.stalledMs < 30_000, `${moved.stalledMs}`);
  await stage.query(
    "UPDATE notification.stream_offsets SET updated_at = now() - interval '80 s' WHERE stream = 'notification:intents'",
  );
  assert.ok((await reader.intents()).stalledMs >= 80_000);
});
