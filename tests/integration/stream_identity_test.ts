/**
 * The consumer's findings about its stream on real servers: groups of others, entries deleted unread, another stream.
 */
import assert from "node:assert/strict";
import { streamOffsetKey } from "../../src/redis/keys.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import type { IntentConsumer } from "../../src/intake/intent_consumer.ts";
import type { IntakeEvents } from "../../src/intake/events.ts";
import { refuse } from "../../scripts/servers/user_service.ts";
import { captureLog } from "../support/captured_log.ts";
import { validIntent } from "../support/intents.ts";
import { INTENTS, openStage, type Stage } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

/** Runs passes of one consumer until `isDone`, or ten more when it is not given. */
async function consume(
  stage: Stage,
  isDone?: () => Promise<boolean>,
  changes: Parameters<Stage["consumer"]>[0] = {},
): Promise<void> {
  const stop = new AbortController();
  const consumer: IntentConsumer = await stage.consumer(changes);
  try {
    if (isDone === undefined) { for (let at = 0; at < 10; at++) await consumer.pass(stop.signal); }
    else {
      await eventually(async () => {
        await consumer.pass(stop.signal);
        return await isDone();
      }, { timeoutMs: 30_000, intervalMs: 0 });
    }
  } finally {
    stop.abort();
    await consumer.close();
  }
}

const records = (stage: Stage) => stage.value("SELECT count(*) FROM notification.records");
const ordinal = (stage: Stage) =>
  stage.value("SELECT entries_read FROM notification.stream_offsets WHERE stream = 'notification:intents'");

Deno.test("consumer groups of others do not make a read more expensive", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await stage.addIntent();
  await stage.redis.call("XGROUP", "CREATE", INTENTS, "theirs", "$");
  for (let from = 0; from < 200_000; from += 1000) {
    const pipeline = stage.redis.pipeline();
    for (let at = from; at < from + 1000; at++) pipeline.call("XGROUP", "CREATECONSUMER", INTENTS, "theirs", `c${at}`);
    await pipeline.exec();
  }
  await stage.redis.config("RESETSTAT");
  await consume(stage, async () => await records(stage) === "1");
  const stats = await stage.redis.info("commandstats");
  const most = Math.max(
    ...[...stats.matchAll(/cmdstat_(?:evalsha|eval|xinfo\|stream):calls=\d+,usec=\d+,usec_per_call=([\d.]+)/g)]
      .map(([, microseconds]) => Number(microseconds)),
  );
  // With XINFO STREAM … FULL it takes some 100 ms.
  assert.ok(most > 0 && most < 20_000, `${most} µs`);
});

Deno.test("an entry over client-output-buffer-limit is recorded, and later entries are accepted", async () => {
  await using log = captureLog();
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  await stage.redis.config("SET", "client-output-buffer-limit", "normal 8388608 0 0");
  await stage.addIntent({ idempotency_key: "before" });
  const stop = new AbortController();
  const consumer = await stage.consumer({
    readBlockTimeoutMs: 2000,
    blockingRedis: await stage.connection(2000, 2000),
  });
  await consumer.pass(stop.signal);
  // The consumer waits after the last entry when the large one arrives.
  const waiting = consumer.pass(stop.signal).catch(() => {});
  await eventually(async () => (await stage.redis.info("clients")).includes("blocked_clients:1"));
  await stage.addIntent({ idempotency_key: "large", payload_json: `{"x":"${"x".repeat(20 * 1024 * 1024)}"}` });
  await stage.addIntent({ idempotency_key: "behind" });
  await waiting;
  await eventually(async () => {
    await consumer.pass(stop.signal);
    return await records(stage) === "2";
  }, { timeoutMs: 30_000 });
  stop.abort();
  await consumer.close();
  assert.equal(await stage.value("SELECT failure_code FROM notification.malformed_intents"), "invalid_payload");
  const warnings = (await log.messages()).filter((text) => text.includes("client-output-buffer-limit"));
  assert.equal(warnings.length, 1);
});

Deno.test("entries deleted unread are reported when the offset passes them, although read ones still exist", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 5; at++) await stage.addIntent();
  await consume(stage, async () => await ordinal(stage) === "5");
  const unread = [await stage.addIntent(), await stage.addIntent()];
  await stage.redis.xdel(INTENTS, ...unread);
  const trimmed: number[] = [];
  const events = { ...stage.intakeEvents(), trimmedUnread: (entries: number) => void trimmed.push(entries) };
  await consume(stage, undefined, { events });
  assert.deepEqual(trimmed, [2]);
  assert.equal(await ordinal(stage), "7");
  // A later trim of read entries reports nothing more.
  await stage.redis.xtrim(INTENTS, "MAXLEN", 0);
  await stage.addIntent({ idempotency_key: "later" });
  await consume(stage, undefined, { events });
  assert.deepEqual(trimmed, [2]);
});

Deno.test("an offset whose ordinal is unknown stays so until the end of the stream, in its copy too", async () => {
  await using stage = await openStage();
  const ids: string[] = [];
  for (let at = 0; at < 6; at++) ids.push(await stage.addIntent({ idempotency_key: `k${at}` }));
  // PostgreSQL is new, and the copy has no ordinal: the first three entries were read.
  await stage.redis.hset(streamOffsetKey(INTENTS), "entry_id", ids[2]!);
  const trimmed: number[] = [];
  const events = { ...stage.intakeEvents(), trimmedUnread: (entries: number) => void trimmed.push(entries) };
  await consume(stage, async () => await records(stage) === "1", { events, batchSize: 1 });
  assert.equal(await ordinal(stage), "null");
  assert.equal(await stage.redis.hget(streamOffsetKey(INTENTS), "entries_read"), "");
  // Entries that were read are trimmed meanwhile.
  await stage.redis.xtrim(INTENTS, "MAXLEN", 2);
  await consume(stage, undefined, { events });
  assert.equal(await records(stage), "3");
  await stage.addIntent({ idempotency_key: "last" });
  await consume(stage, undefined, { events });
  assert.equal(await ordinal(stage), "7");
  assert.deepEqual(trimmed, []);
});

Deno.test("another stream whose ids and ordinals fit is reported as an error", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  const fill = async (name: string, count: number) => {
    for (let at = 1; at <= count; at++) await stage.addIntent({ idempotency_key: `${name}-${at}` }, `${at}-0`);
  };
  await fill("old", 10);
  await consume(stage, async () => await records(stage) === "10");
  await consume(stage);
  const errors = async () => (await log.lines()).filter(({ level }) => level === "error");
  assert.deepEqual(await errors(), []);
  await stage.redis.del(INTENTS);
  await fill("new", 20);
  await consume(stage);
  assert.equal(await records(stage), "20");
  const [error, ...more] = await errors();
  assert.match(String(error?.message), /the entry at the offset has no outcome: another stream/);
  assert.deepEqual([error?.offset, more.length], ["10-0", 0]);
});

const errorsOf = async (log: ReturnType<typeof captureLog>) =>
  (await log.lines()).filter(({ level }) => level === "error");

Deno.test("the entry at the offset may be older than its record's retention, on another server too", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await stage.addIntent();
  await consume(stage, async () => await records(stage) === "1");
  await stage.query("DELETE FROM notification.routes");
  await stage.query("DELETE FROM notification.records");
  await stage.query(
    "UPDATE notification.stream_offsets SET updated_at = now() - interval '2 hours', redis_epoch = 'before'",
  );
  for (let finds = 0; finds < 2; finds++) await consume(stage);
  assert.deepEqual(await errorsOf(log), []);
});

Deno.test("a malformed intent at the offset may be older than its own retention, which is the shorter one", async () => {
  await using log = captureLog();
  await using stage = await openStage();
  await stage.addIntent({ payload_json: "{}" });
  await consume(stage, async () => await malformedRows(stage) === "1");
  await stage.query("DELETE FROM notification.malformed_intents");
  await stage.query("UPDATE notification.stream_offsets SET updated_at = now() - interval '10 minutes'");
  await consume(stage, undefined, { malformedRetentionMs: 60_000 });
  assert.deepEqual(await errorsOf(log), []);
});

/** Intake's events, which also count the entries that are read, and those that are reported with each outcome. */
function countingEvents(stage: Stage) {
  const counts = { read: 0, accepted: 0, duplicates: 0, malformed: 0 };
  const events = stage.intakeEvents();
  const withSpans = (items: Parameters<IntakeEvents["withSpans"]>[0]) => {
    counts.read += items.length;
    return events.withSpans(items);
  };
  const outcomes = (result: Parameters<IntakeEvents["outcomes"]>[0]) => {
    for (const kind of ["accepted", "duplicates", "malformed"] as const) counts[kind] += result[kind].length;
    events.outcomes(result);
  };
  return { counts, events: { ...events, withSpans, outcomes } };
}

for (const entries of [4, 2_000]) {
  Deno.test(`of ${entries} entries that are read again, none is looked up in the User Service or counted`, async () => {
    await using log = captureLog("debug");
    await using stage = await openStage();
    const ids: string[] = [];
    const pipeline = stage.redis.pipeline();
    for (let at = 0; at < entries; at++) {
      const fields = validIntent({
        idempotency_key: `k${at}`,
        recipient_user_ids_json: JSON.stringify([`user-${at}`]),
      });
      pipeline.xadd(INTENTS, "*", ...Object.entries(fields).flat() as string[]);
    }
    for (const [, id] of (await pipeline.exec())!) ids.push(id as string);
    await consume(stage, async () => await ordinal(stage) === String(entries));
    assert.equal(stage.users.requestedIds.length, entries);
    // Another Redis server has the copy of an earlier offset.
    await stage.query(
      "UPDATE notification.stream_offsets SET redis_epoch = 'before' WHERE stream = 'notification:intents'",
    );
    await stage.redis.hset(streamOffsetKey(INTENTS), { entry_id: ids[0]!, entries_read: "1" });
    stage.users.requestedIds.length = 0;
    stage.users.behaviour = () => refuse(503, "unavailable");
    const { counts, events } = countingEvents(stage);
    const again = entries - 1;
    await consume(
      stage,
      async () => {
        return counts.read >= again && await ordinal(stage) === String(entries);
      },
      { events },
    );
    assert.deepEqual([stage.users.requestedIds, await records(stage)], [[], String(entries)]);
    assert.deepEqual(counts, { read: again, accepted: 0, duplicates: 0, malformed: 0 });
    assert.deepEqual((await log.messages()).filter((message) => message.endsWith(" duplicate")), []);
    // A new intent is looked up as usual.
    stage.users.behaviour = undefined;
    await stage.addIntent({ idempotency_key: "new", recipient_user_ids_json: '["user-0"]' });
    await consume(stage, async () => await ordinal(stage) === String(entries + 1), { events });
    assert.deepEqual([stage.users.requestedIds, await records(stage)], [["user-0"], String(entries + 1)]);
    assert.deepEqual(counts, { read: again + 1, accepted: 1, duplicates: 0, malformed: 0 });
  });
}

/** As if the stream is deleted together with its offset. */
async function forgetStream(stage: Stage): Promise<void> {
  await stage.redis.del(INTENTS, streamOffsetKey(INTENTS));
  await stage.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
}

const malformedRows = (stage: Stage) => stage.value("SELECT count(*) FROM notification.malformed_intents");

const OLD_ENTRIES: readonly { name: string; fields: readonly string[] }[] = [
  { name: "has another key", fields: Object.entries(validIntent({ payload_json: "{}" })).flat() as string[] },
  { name: "has no fields that can be read", fields: ["x", "y"] },
];

for (const { name, fields } of OLD_ENTRIES) {
  Deno.test(`a valid entry is accepted though an earlier stream had a malformed one of its id, which ${name}`, async () => {
    await using stage = await openStage();
    await stage.redis.xadd(INTENTS, "5-1", ...fields);
    await consume(stage, async () => await malformedRows(stage) === "1");
    await forgetStream(stage);
    await stage.addIntent({ idempotency_key: "new" }, "5-1");
    await consume(stage, async () => await records(stage) === "1");
  });

  Deno.test(`a malformed entry is recorded instead of an earlier stream's one of its id, which ${name}`, async () => {
    await using log = captureLog();
    const reported = async () => (await log.messages()).filter((message) => message === "warn malformed intent");
    await using stage = await openStage();
    await stage.redis.xadd(INTENTS, "5-1", ...fields);
    await consume(stage, async () => await malformedRows(stage) === "1");
    for (const field of ["z", "producer"]) {
      await forgetStream(stage);
      await stage.redis.xadd(INTENTS, "5-1", field, "value");
      await consume(stage, async () => await ordinal(stage) === "1");
      const [row] = await stage.query("SELECT raw_fields, producer FROM notification.malformed_intents");
      assert.deepEqual(row, { raw_fields: [[field, "value"]], producer: field === "producer" ? "value" : null });
    }
    assert.equal((await reported()).length, 3);
    // The same entry keeps its row.
    const recordedAt = () => stage.value("SELECT recorded_at FROM notification.malformed_intents");
    const before = await recordedAt();
    // The stream is read once more by a consumer without an offset.
    await stage.redis.del(streamOffsetKey(INTENTS));
    await stage.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
    await consume(stage, async () => await ordinal(stage) === "1");
    assert.equal(await recordedAt(), before);
    assert.equal((await reported()).length, 3);
  });
}
