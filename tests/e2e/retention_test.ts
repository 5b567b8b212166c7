/**
 * Which rows are deleted after their time, and which are kept however old they are (docs/contract.md, sections 1 and
 * 4).
 */
import assert from "node:assert/strict";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const CLEANING = { NOTIFICATION_CLEANUP_INTERVAL: "100ms" };
const LONG = { NOTIFICATION_RECORD_RETENTION: "720h", NOTIFICATION_MALFORMED_INTENT_RETENTION: "2160h" };

Deno.test("records are deleted with their routes and dead letters; those with live routes are kept", async () => {
  await using rig = await openRig({
    env: {
      ...CLEANING,
      ...LONG,
      NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1",
      NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "2",
      NOTIFICATION_ROUTE_BACKOFF_MIN: "1h",
      NOTIFICATION_ROUTE_BACKOFF_MAX: "2h",
    },
  });
  const service = await rig.start();
  const published = await rig.addIntent({ idempotency_key: "again" });
  const skipped = await rig.addIntent({
    notification_type: "game.generation_failed",
    audience_kind: "admin_email",
    recipient_user_ids_json: undefined,
    payload_json: '{"game_id":"g","game_name":"N","failure_reason":"r"}',
  });
  const malformed = await rig.addIntent({ payload_json: "{}" });
  await rig.settled();
  await rig.redis.set("gateway:client-events", "in the way");
  const givenUp = await rig.addIntent({ notification_type: "notification.smoke_test", ...smoke });
  await rig.settled();
  await rig.redis.set("mail:delivery_commands", "in the way");
  const live = await rig.addIntent();
  const statuses = async () => (await outcomeOf(rig, live)).routes.map(({ channel, status }) => `${channel} ${status}`);
  await eventually(async () => (await statuses()).join() === "email failed,push dead_letter");
  const { deadLetters } = await outcomeOf(rig, givenUp);
  assert.equal(deadLetters.length, 1);

  await rig.query("UPDATE notification.records SET accepted_at = now() - interval '721 hours'");
  await eventually(async () => await count(rig, "records") === 1);
  assert.deepEqual(await verdicts(rig, [published, skipped, givenUp, live]), [
    "duplicate", // as for every entry without a trace
    "duplicate",
    "duplicate",
    "accepted",
  ]);
  // The remaining record has a push in the dead letters and a mail that is tried again in an hour.
  const { routes } = await outcomeOf(rig, live);
  assert.deepEqual(routes.map((route) => [route.channel, route.status]), [["email", "failed"], [
    "push",
    "dead_letter",
  ]]);
  assert.deepEqual([await count(rig, "routes"), await count(rig, "dead_letters")], [2, 1]);
  // Malformed intents have their own retention, and retention does not touch the offset.
  assert.deepEqual(await verdicts(rig, [malformed]), ["invalid_payload"]);
  assert.equal(await count(rig, "stream_offsets"), 3);
  await service.waitForLog((line) => line.logger === "retention_cleaner" && Number(line["records"]) > 0);

  // The key is free again.
  await rig.redis.del("gateway:client-events", "mail:delivery_commands");
  const again = await rig.addIntent({ idempotency_key: "again", payload_json: OTHER_PAYLOAD });
  await eventually(async () => (await outcomeOf(rig, again)).clientEvents.length === 1);
});

Deno.test("malformed intents are deleted after their time, and nothing before it", async () => {
  await using rig = await openRig({ env: { ...CLEANING, ...LONG } });
  const first = await rig.start();
  const accepted = await rig.addIntent();
  const malformed = [await rig.addIntent({ payload_json: "{}" }), await rig.addIntent({ payload_json: "{}" })];
  await rig.settled();
  await rig.query(
    `UPDATE notification.malformed_intents SET recorded_at = now() - interval '2159 hours' WHERE stream_entry_id = $1`,
    [malformed[0]],
  );
  await rig.query(
    `UPDATE notification.malformed_intents SET recorded_at = now() - interval '2161 hours' WHERE stream_entry_id = $1`,
    [malformed[1]],
  );
  await rig.query("UPDATE notification.records SET accepted_at = now() - interval '719 hours'");
  await eventually(async () => await count(rig, "malformed_intents") === 1);
  assert.deepEqual(await verdicts(rig, [accepted, ...malformed]), ["accepted", "invalid_payload", "duplicate"]);
  await rig.query("UPDATE notification.records SET accepted_at = now() - interval '721 hours'");
  await eventually(async () => await count(rig, "records") === 0);
  assert.deepEqual([await count(rig, "routes"), await count(rig, "malformed_intents")], [0, 1]);
  await first.terminate();
});

Deno.test("several instances delete many old records in batches at once, while new ones arrive", async () => {
  await using rig = await openRig({ env: { ...CLEANING, ...LONG } });
  const maker = await rig.start();
  await maker.terminate();
  await rig.query(
    `INSERT INTO notification.records (notification_id, notification_type, producer, audience_kind, recipient_user_ids,
       payload, idempotency_key, request_fingerprint, stream, stream_entry_id, occurred_at, accepted_at)
     SELECT md5(n::text)::uuid, 'game.turn.ready', 'old', 'user', '["user-1"]', '{}', n::text, '\\x00', 'old',
       n || '-0', now() - interval '800 hours', now() - interval '800 hours'
     FROM generate_series(1, 20000) AS n`,
  );
  await rig.query(
    `INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts,
       next_attempt_at)
     SELECT md5(n::text)::uuid, 'push:user:user-1', 'push', 'user:user-1',
       CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'published' END, 3,
       CASE WHEN n % 1000 = 0 THEN now() + interval '1 hour' END
     FROM generate_series(1, 20000) AS n`,
  );
  const instances = await Promise.all([rig.start(), rig.start()]);
  const fresh = await Promise.all(Array.from({ length: 50 }, () => rig.addIntent()));
  let left: number | undefined;
  await eventually(async () => (left = await count(rig, "records")) === 70, { progress: () => left });
  await eventually(async () => (await rig.clientEvents()).length === 50);
  assert.deepEqual(new Set(await verdicts(rig, fresh)), new Set(["accepted"]));
  assert.deepEqual([await count(rig, "records"), await count(rig, "routes")], [70, 120]);
  for (const instance of instances) {
    assert.equal((await instance.terminate()).code, 0);
    assert.deepEqual(instance.logs.filter((line) => line.level === "error"), []);
  }
});

Deno.test("rows that PostgreSQL refuses to delete are reported once per run; push and mail continue, the rest is deleted", async () => {
  await using rig = await openRig({ env: { ...LONG, NOTIFICATION_CLEANUP_INTERVAL: "2s" }, superuser: true });
  const service = await rig.start();
  const [kept, deleted] = [await rig.addIntent(), await rig.addIntent()];
  await rig.settled();
  await rig.query("CREATE TABLE complaints (notification_id uuid REFERENCES notification.records)");
  await rig.query(
    "INSERT INTO complaints SELECT notification_id FROM notification.records WHERE stream_entry_id = $1",
    [kept],
  );
  await rig.query("UPDATE notification.records SET accepted_at = now() - interval '721 hours'");
  const { reason } = await service.waitForLog(({ level }) => level === "error");
  assert.match(String(reason), /\(23503, table complaints/);
  await eventually(async () => (await verdicts(rig, [kept, deleted])).join() === "accepted,duplicate");

  const fresh = await rig.addIntent();
  await rig.settled();
  const { clientEvents, mailCommands } = await outcomeOf(rig, fresh);
  assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  await rig.query("DROP TABLE complaints");
  await eventually(async () => (await verdicts(rig, [kept, fresh])).join() === "duplicate,accepted");
  const errors = service.logs.filter(({ level }) => level === "error");
  assert.ok(errors.length >= 1 && errors.length <= 5 && errors.every(({ logger }) => logger === "retention_cleaner"));
  assert.equal((await service.terminate()).code, 0);
});

const smoke = { producer: "notification-service", payload_json: '{"note":"n"}' };
const OTHER_PAYLOAD = '{"game_id":"other","game_name":"N","turn_number":1}';

async function count(rig: Rig, table: string): Promise<number | undefined> {
  const [row] = await rig.query<{ count: number }>(`SELECT count(*)::int AS count FROM notification.${table}`);
  return row?.count;
}
