/**
 * Retention on a real PostgreSQL: rows past their time are deleted, a record with a live route is kept however old it
 * is.
 */
import assert from "node:assert/strict";
import { RetentionCleaner } from "../../src/retention/cleaner.ts";
import { createRetentionEvents } from "../../src/retention/events.ts";
import { createInstruments } from "../../src/telemetry/instruments.ts";
import { captureLog } from "../support/captured_log.ts";
import { openStage, type Stage, TestClock } from "../support/stage.ts";

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

async function run(stage: Stage, postgres = stage.pool): Promise<void> {
  const loop = cleaner(stage, postgres);
  while (await loop.pass() === "again");
}

const count = (stage: Stage, table: string) => stage.value(`SELECT count(*) FROM notification.${table}`);

Deno.test("records past their retention are deleted with their routes and dead letters, unless a route is live", async () => {
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

Deno.test("malformed intents past their retention are deleted, others are kept", async () => {
  await using stage = await openStage();
  await stage.query(`
    INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields,
      recorded_at)
    SELECT 's', n || '-0', 'c', 'm', '[]', now() - n * interval '1 hour' FROM generate_series(0, 2400) AS n`);
  await run(stage);
  assert.equal(await count(stage, "malformed_intents"), "2");
});

Deno.test("several instances clean at once without blocking each other", async () => {
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

Deno.test("a batch that takes PostgreSQL too long is tried again at half its size, in the same run", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await addRecords(stage, [1, 60], "2 hours", "published");
  await addTrigger(stage, "records", "PERFORM pg_sleep(0.05)");
  const pool = stage.poolWith(1000);
  await run(stage, pool);
  await pool.close(1000);
  assert.equal(await count(stage, "records"), "0");
  assert.deepEqual(await log.messages(), ["info cleaned"]);
});

/** Ways to make PostgreSQL refuse every deletion, with the SQLSTATE. */
const REFUSALS = [
  { name: "a trigger raises an exception", code: "P0001", refuse: "RAISE EXCEPTION 'kept'" },
  { name: "a trigger raises an exception of its own", code: "ZZ123", refuse: "RAISE SQLSTATE 'ZZ123'" },
  { name: "the role may not delete", code: "42501", refuse: "RAISE insufficient_privilege" },
  { name: "a lock is not to be had", code: "55P03", refuse: "RAISE lock_not_available" },
  { name: "the server is shutting down", code: "57P01", refuse: "RAISE admin_shutdown" },
] as const;

for (const { name, code, refuse } of REFUSALS) {
  Deno.test(`${name}: one error line, malformed intents are deleted all the same, the next run tries again`, async () => {
    await using log = captureLog();
    await using stage = await openStage();
    await addRecords(stage, [1, 2500], "2 hours", "published");
    await stage.query(`
      INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields,
        recorded_at)
      SELECT 's', n || '-0', 'c', 'm', '[]', now() - interval '3 hours' FROM generate_series(1, 1500) AS n`);
    // The first batches are deleted before the failure.
    await addTrigger(stage, "records", `IF OLD.stream_entry_id::text = '2000-0' THEN ${refuse}; END IF`);
    const loop = cleaner(stage);
    while (await loop.pass() === "again");
    const lines = (await log.lines()).filter(({ logger }) => logger === "retention_cleaner");
    assert.deepEqual(lines.map(({ level }) => level), ["info", "error"]);
    assert.equal(lines[0]!.records, 2500 - Number(await count(stage, "records")));
    assert.ok(Number(lines[0]!.records) >= 1000, JSON.stringify(lines[0]));
    assert.equal(lines[0]!.malformed_intents, 1500);
    assert.match(String(lines[1]!.reason), new RegExp(`\\(${code}\\)$`));

    await stage.query("DROP TRIGGER try ON notification.records");
    while (await loop.pass() === "again");
    assert.equal(await count(stage, "records"), "0");
    assert.equal((await log.lines()).filter(({ level }) => level === "error").length, 1);
  });
}

Deno.test("records that another table refers to are passed over, all others are deleted", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await addRecords(stage, [1, 2500], "2 hours", "published");
  await stage.query("CREATE TABLE complaints (id uuid REFERENCES notification.records)");
  await stage.query(`INSERT INTO complaints SELECT notification_id FROM notification.records
    WHERE stream_entry_id IN ('7-0', '8-0', '1800-0')`);
  await run(stage);
  assert.deepEqual(
    await stage.query(`SELECT stream_entry_id FROM notification.records ORDER BY accepted_at, notification_id`),
    ["7-0", "8-0", "1800-0"].map((id) => ({ stream_entry_id: id })),
  );
  const error = (await log.lines()).find(({ level }) => level === "error");
  assert.equal(error?.records_passed_over, 3);
  assert.match(String(error?.reason), /complaints_id_fkey\)$/);
});

Deno.test("a constraint that refuses every deletion does not keep the cleaner busy", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await addRecords(stage, [1, 2500], "2 hours", "published");
  await stage.query("CREATE TABLE complaints (id uuid REFERENCES notification.records)");
  await stage.query("INSERT INTO complaints SELECT notification_id FROM notification.records");
  const loop = cleaner(stage);
  let passes = 1;
  while (await loop.pass() === "again") passes++;
  assert.ok(passes < 50, `${passes} passes`);
  assert.equal(await count(stage, "records"), "2500");
  assert.deepEqual((await log.messages()).filter((line) => line.startsWith("error")).length, 1);
});

Deno.test("a PostgreSQL that can't be reached ends the run, not the loop", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  const pool = stage.poolWith(1000);
  const loop = cleaner(stage, pool);
  await pool.close(1000);
  assert.equal(await loop.pass(), "idle");
  assert.deepEqual((await log.messages()).filter((line) => line.startsWith("error")).length, 1);
  assert.equal((await log.lines()).at(-1)?.next_run_in_ms, 1000);
});

async function addTrigger(stage: Stage, table: string, statement: string): Promise<void> {
  await stage.query(`
    CREATE FUNCTION notification.try() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${statement}; RETURN OLD; END $$`);
  await stage.query(`
    CREATE TRIGGER try BEFORE DELETE ON notification.${table} FOR EACH ROW EXECUTE FUNCTION notification.try()`);
}
