/** Retention on a real PostgreSQL: what is past its time goes, a record with a live route stays however old. */
import assert from "node:assert/strict";
import { RetentionCleaner } from "../../src/retention/cleaner.ts";
import { outageOf } from "../../src/lifecycle/outage.ts";
import { createRetentionEvents } from "../../src/retention/events.ts";
import { createInstruments } from "../../src/telemetry/instruments.ts";
import { openStage, type Stage, TestClock } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

function cleaner(stage: Stage, postgres = stage.pool): RetentionCleaner {
  return new RetentionCleaner({
    recordRetentionMs: 3_600_000,
    malformedRetentionMs: 7_200_000,
    intervalMs: 1000,
    postgres,
    events: createRetentionEvents(createInstruments()),
    clock: new TestClock(),
  });
}

/** Records `from` to `to`, each `age` old, with two routes in the given status. */
async function addRecords(stage: Stage, [from, to]: [number, number], age: string, status: string): Promise<void> {
  await stage.query(
    `INSERT INTO notification.records (notification_id, notification_type, producer, audience_kind, recipient_user_ids,
      payload, idempotency_key, request_fingerprint, stream, stream_entry_id, occurred_at, accepted_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 't', 'p', 'user', '[]', '{}', n, '', 's', n || '-0', now(),
      now() - $3::interval
    FROM generate_series($1::int, $2::int) AS n`,
    [from, to, age],
  );
  await stage.query(
    `INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts,
      next_attempt_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, route, 'push', 'user:u', CASE route WHEN 'b' THEN $3 ELSE 'published' END, 3,
      CASE WHEN route = 'b' AND $3 IN ('pending', 'failed') THEN now() END
    FROM generate_series($1::int, $2::int) AS n, (VALUES ('a'), ('b')) AS r (route)`,
    [from, to, status],
  );
}

async function run(stage: Stage): Promise<void> {
  const loop = cleaner(stage);
  while (await loop.pass() === "again");
}

const count = (stage: Stage, table: string) => stage.value(`SELECT count(*) FROM notification.${table}`);

Deno.test("records past their retention go with their routes and dead letters, unless a route is live", async () => {
  await using stage = await openStage();
  await addRecords(stage, [1, 2500], "2 hours", "dead_letter");
  await addRecords(stage, [2501, 2510], "2 hours", "failed");
  await addRecords(stage, [2511, 2515], "30 minutes", "published");
  await stage.query(`
    INSERT INTO notification.dead_letters (notification_id, route_id, channel, recipient, attempt_count, max_attempts,
      failure_classification, failure_message)
    SELECT notification_id, route_id, channel, recipient, 3, 3, 'c', 'm'
    FROM notification.routes WHERE status = 'dead_letter'`);
  await run(stage);
  assert.equal(await count(stage, "records"), "15");
  assert.equal(await count(stage, "routes"), "30");
  assert.equal(await count(stage, "dead_letters"), "0");
});

Deno.test("malformed intents past their retention go, others stay", async () => {
  await using stage = await openStage();
  await stage.query(`
    INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields,
      recorded_at)
    SELECT 's', n || '-0', 'c', 'm', '[]', now() - n * interval '1 hour' FROM generate_series(0, 2400) AS n`);
  await run(stage);
  assert.equal(await count(stage, "malformed_intents"), "2");
});

Deno.test("several instances clean at once without standing in each other's way", async () => {
  await using stage = await openStage();
  await addRecords(stage, [1, 5000], "2 hours", "published");
  await addRecords(stage, [5001, 5003], "2 hours", "pending");
  await Promise.all([run(stage), run(stage), run(stage)]);
  await run(stage);
  assert.equal(await count(stage, "records"), "3");
  assert.equal(await count(stage, "routes"), "6");
});

Deno.test("a record of many routes is a batch of its own", async () => {
  await using stage = await openStage();
  await addRecords(stage, [1, 3], "2 hours", "published");
  await stage.query(`
    INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts)
    SELECT notification_id, 'c' || n, 'push', 'user:u', 'published', 3
    FROM notification.records, generate_series(1, 12000) AS n`);
  const loop = cleaner(stage);
  await loop.pass();
  assert.equal(await count(stage, "records"), "2");
  while (await loop.pass() === "again");
  assert.equal(await count(stage, "routes"), "0");
});

Deno.test("a batch that takes PostgreSQL too long is tried again at half its size", async () => {
  await using stage = await openStage();
  await addRecords(stage, [1, 60], "2 hours", "published");
  await stage.query(`
    CREATE FUNCTION notification.slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.05); RETURN OLD; END $$`);
  await stage.query(`
    CREATE TRIGGER slow BEFORE DELETE ON notification.records FOR EACH ROW EXECUTE FUNCTION notification.slow()`);
  const pool = stage.poolWith(1000);
  const loop = cleaner(stage, pool);
  let outages = 0;
  await eventually(async () => {
    await loop.pass().catch((error) => {
      if (outageOf(error)?.dependency !== "postgres") throw error;
      outages++;
    });
    return await count(stage, "records") === "0";
  }, { timeoutMs: 60_000 });
  await pool.close(1000);
  assert.ok(outages > 0);
});
