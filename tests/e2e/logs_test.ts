/**
 * The service's output: one object per line, the known fields, levels, and the text format (docs/contract.md, section
 * 9).
 */
import assert from "node:assert/strict";
import { assertPrintable } from "../support/command.ts";
import { validIntent } from "../support/intents.ts";
import { outcomeOf } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { LogLine, ServiceProcess } from "../support/service_process.ts";
import { testOnOneRig } from "../support/shared_rig.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z$/;

testOnOneRig("Logs", { env: { NOTIFICATION_LOG_LEVEL: "info" } }, {
  "an accepted intent is one info line with all known fields": async ({ rig, service }) => {
    const before = Date.now();
    const entryId = await rig.addIntent({ request_id: "req-☃\n", trace_id: "trace-1", traceparent: TRACEPARENT });
    await rig.settled();
    const { record } = await outcomeOf(rig, entryId);
    const { time, ...line } = await service.waitForLog((line) => line["stream_entry_id"] === entryId);
    assert.match(time, TIME);
    assert.ok(Math.abs(Date.parse(time) - before) < 10_000);
    const { message: _, ...fields } = line;
    assert.deepEqual(fields, {
      level: "info",
      logger: "intent_consumer",
      notification_type: "game.turn.ready",
      producer: "game-master",
      audience_kind: "user",
      notification_id: record?.notification_id,
      stream_entry_id: entryId,
      request_id: "req-☃\n",
      trace_id: "trace-1",
    });
    // It is the only line, also after the publication of its routes.
    await rig.addIntent();
    await rig.settled();
    const about = service.logs.filter((line) => JSON.stringify(line).includes(record?.notification_id ?? ""));
    assert.equal(about.length, 1);
  },

  "a malformed intent is one warning with all readable fields": async ({ rig, service }) => {
    const entryId = await rig.addIntent({ payload_json: "{}", request_id: "r" });
    const line = await service.waitForLog((line) => line["stream_entry_id"] === entryId);
    const known = ["level", "logger", "notification_type", "producer", "audience_kind", "classification", "request_id"];
    assert.deepEqual(known.map((name) => line[name]), [
      "warn",
      "intent_consumer",
      "game.turn.ready",
      "game-master",
      "user",
      "invalid_payload",
      "r",
    ]);
    const nothing = await rig.addEntry([["x", "y"]]);
    const bare = await service.waitForLog((line) => line["stream_entry_id"] === nothing);
    for (
      const name of ["notification_type", "producer", "audience_kind", "notification_id", "request_id", "trace_id"]
    ) {
      assert.ok(!(name in bare), `${name} is not known: ${JSON.stringify(bare)}`);
    }
  },

  "a duplicate has no line above debug": async ({ rig, service }) => {
    const idempotency_key = crypto.randomUUID();
    const entryIds = [await rig.addIntent({ idempotency_key }), await rig.addIntent({ idempotency_key })];
    const last = await rig.addIntent();
    await service.waitForLog((line) => line["stream_entry_id"] === last);
    assert.equal(service.logs.filter((line) => entryIds.includes(`${line["stream_entry_id"]}`)).length, 1);
  },

  "every line is an object on standard output, and standard error is empty": async ({ rig, service }) => {
    await rig.addIntent({ notification_type: "a\r\nb\u2028\u0000\u001b[31m\u009b\u202e", producer: '"}\n{"x":"' });
    await rig.addEntry([["producer", new Uint8Array([0xff, 0xfe])]]);
    const last = await rig.addIntent();
    await service.waitForLog((line) => line["stream_entry_id"] === last);
    for (const line of service.stdout.split("\n")) {
      const parsed: LogLine = JSON.parse(line);
      assert.match(parsed.time, TIME);
      assert.match(parsed.level, /^(info|warn|error)$/);
      assert.ok(parsed.logger !== "" && parsed.message !== "");
    }
    assertPrintable(service.stdout);
    assert.equal(service.stderr, "");
  },
});

Deno.test("a failed attempt is a warning and a dead letter an error, with all known fields of the route", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "2", NOTIFICATION_ROUTE_BACKOFF_MIN: "10ms" },
  });
  await rig.redis.set("gateway:client-events", "in the way");
  const service = await rig.start();
  const entryId = await rig.addIntent({ request_id: "req-1", trace_id: "trace-1" });
  await rig.settled();
  const { record } = await outcomeOf(rig, entryId);
  const known = {
    logger: "push_publisher",
    notification_type: "game.turn.ready",
    producer: "game-master",
    audience_kind: "user",
    notification_id: record?.notification_id,
    route_id: "push:user:user-1",
    channel: "push",
    stream_entry_id: entryId,
    request_id: "req-1",
    trace_id: "trace-1",
    classification: "gateway_stream_publish_failed",
  };
  const fieldsOf = async (wanted: string) => {
    const { time, reason, retry_in_ms, ...line } = await service.waitForLog(({ message }) => message === wanted);
    assert.match(time, TIME);
    assert.match(`${reason}`, /WRONGTYPE/);
    return [line, typeof retry_in_ms];
  };
  assert.deepEqual(await fieldsOf("attempt failed"), [
    { ...known, level: "warn", message: "attempt failed" },
    "number",
  ]);
  assert.deepEqual(await fieldsOf("dead letter"), [{ ...known, level: "error", message: "dead letter" }, "undefined"]);
});

Deno.test("LOG_LEVEL leaves out the levels below it", async () => {
  await using rig = await openRig();
  const run = async (level: string) => {
    const service = await rig.start({ NOTIFICATION_LOG_LEVEL: level });
    await rig.redis.del("gateway:client-events");
    const idempotency_key = crypto.randomUUID();
    for (const changes of [{ idempotency_key }, { idempotency_key }, { payload_json: "{}" }]) {
      await rig.addIntent(changes);
    }
    await rig.settled();
    await service.terminate();
    return new Set(service.logs.map((line) => line.level));
  };
  assert.deepEqual(await run("debug"), new Set(["debug", "info", "warn"]));
  assert.deepEqual(await run("info"), new Set(["info", "warn"]));
  assert.deepEqual(await run("warn"), new Set(["warn"]));
  assert.deepEqual(await run("error"), new Set());
});

Deno.test("the text format has one line per event, whatever the values contain", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_LOG_FORMAT: "text" } });
  const service = await rig.start();
  const entryId = await rig.addIntent({ request_id: 'two words, "quotes"\nand a line break' });
  await rig.addIntent({ notification_type: "evil\n2026-01-01T00:00:00.000Z INFO  fake: line\u001b[31m\u009b\u202e" });
  await rig.settled();
  await service.terminate();
  const lines = service.stdout.split("\n");
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\S+Z +(INFO|WARN|ERROR) +\S+/i);
  const about = lines.filter((line) => line.includes(entryId));
  assert.equal(about.length, 1);
  for (const text of ["intent_consumer", "game.turn.ready", "game-master", "two words"]) {
    assert.ok(about[0]?.includes(text), `${text} in ${about[0]}`);
  }
  assertPrintable(service.stdout);
  assert.ok(lines.every((line) => !line.startsWith("2026-01-01")));
  assert.equal(lines.filter((line) => line.includes("stopped")).length, 6);
});

Deno.test("ten thousand accepted intents are ten thousand lines, also at the end", async () => {
  await using rig = await openRig();
  await addMany(rig, 10_000);
  const service = await rig.start();
  await rig.settled();
  await service.terminate();
  assert.equal(accepted(service).length, 10_000);
  assert.equal(new Set(accepted(service).map((line) => line["notification_id"])).size, 10_000);
});

Deno.test("an output without a reader delays nothing: info lines are dropped, and counted", async () => {
  await using rig = await openRig();
  const reading = Promise.withResolvers<void>();
  const service = await (await rig.spawn({}, { readFrom: reading.promise })).ready();
  // Lines of more than a kilobyte each.
  await addMany(rig, 10_000, { request_id: "😀".repeat(256) });
  const malformed = await rig.addIntent({ payload_json: "{}" });
  await rig.settled();
  assert.equal((await rig.mailCommands()).length, 10_000);

  reading.resolve();
  await service.waitForLog((line) => line["stream_entry_id"] === malformed && line.level === "warn");
  const count = await service.waitForLog((line) => typeof line["dropped"] === "number");
  const last = await rig.addIntent();
  await service.waitForLog((line) => line["stream_entry_id"] === last);
  assert.equal(count.level, "warn");
  assert.ok(Number(count["dropped"]) > 0);
  assert.equal(accepted(service).length + Number(count["dropped"]), 10_001);
  assert.equal((await service.terminate()).code, 0);
});

function accepted(service: ServiceProcess): LogLine[] {
  return service.logs.filter((line) => line["notification_id"] !== undefined && line.level === "info");
}

/** Intents with one mail each, in one call. */
async function addMany(rig: Rig, intents: number, changes: Readonly<Record<string, string>> = {}): Promise<void> {
  const pipeline = rig.redis.pipeline();
  for (let index = 0; index < intents; index++) {
    const fields = {
      ...validIntent(),
      notification_type: "lobby.invite.expired",
      producer: "game-lobby",
      payload_json: '{"game_id":"g","game_name":"N","invitee_user_id":"u","invitee_name":"n"}',
      ...changes,
    };
    pipeline.xadd(
      "notification:intents",
      "*",
      ...Object.entries(fields).flatMap(([name, value]) => [name, `${value}`]),
    );
  }
  await pipeline.exec();
}
