// What the service prints: one object a line, the fields that are known, levels, and the text format (contract,
// section 9).

import assert from "node:assert/strict";
import { outcomeOf } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { testOnOneRig } from "../support/shared_rig.ts";
import type { LogLine } from "../support/service_process.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z$/;

testOnOneRig("Logs", { env: { NOTIFICATION_LOG_LEVEL: "info" } }, {
  "an accepted intent is one info line with all that is known of it": async ({ rig, service }) => {
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
    // It is the only one, its routes' publication included.
    await rig.addIntent();
    await rig.settled();
    const about = service.logs.filter((line) => JSON.stringify(line).includes(record?.notification_id ?? ""));
    assert.equal(about.length, 1);
  },

  "a malformed intent is one warning with what could be read": async ({ rig, service }) => {
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

  "a duplicate is no line above debug": async ({ rig, service }) => {
    const idempotency_key = crypto.randomUUID();
    const entryIds = [await rig.addIntent({ idempotency_key }), await rig.addIntent({ idempotency_key })];
    const last = await rig.addIntent();
    await service.waitForLog((line) => line["stream_entry_id"] === last);
    assert.equal(service.logs.filter((line) => entryIds.includes(`${line["stream_entry_id"]}`)).length, 1);
  },

  "every line is an object on standard output, and standard error is empty": async ({ rig, service }) => {
    await rig.addIntent({ notification_type: "a\r\nb\u2028\u0000\u001b[31m", producer: '"}\n{"x":"' });
    await rig.addEntry([["producer", new Uint8Array([0xff, 0xfe])]]);
    const last = await rig.addIntent();
    await service.waitForLog((line) => line["stream_entry_id"] === last);
    for (const line of service.stdout.split("\n")) {
      const parsed: LogLine = JSON.parse(line);
      assert.match(parsed.time, TIME);
      assert.match(parsed.level, /^(info|warn|error)$/);
      assert.ok(parsed.logger !== "" && parsed.message !== "");
    }
    assert.equal(service.stderr, "");
  },
});

Deno.test("LOG_LEVEL leaves out what is below it", async () => {
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

Deno.test("the text format has one line an event, whatever the values hold", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_LOG_FORMAT: "text" } });
  const service = await rig.start();
  const entryId = await rig.addIntent({ request_id: 'two words, "quotes"\nand a line break' });
  await rig.addIntent({ notification_type: "evil\n2026-01-01T00:00:00.000Z INFO  fake: line\u001b[31m" });
  await rig.settled();
  await service.terminate();
  const lines = service.stdout.split("\n");
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\S+Z +(INFO|WARN|ERROR) +\S+/i);
  const accepted = lines.filter((line) => line.includes(entryId));
  assert.equal(accepted.length, 1);
  for (const text of ["intent_consumer", "game.turn.ready", "game-master", "two words"]) {
    assert.ok(accepted[0]?.includes(text), `${text} in ${accepted[0]}`);
  }
  // deno-lint-ignore no-control-regex -- nothing may steer the terminal
  assert.doesNotMatch(service.stdout, /[\x00-\x09\x0b-\x1f\x7f]/);
  assert.ok(lines.every((line) => !line.startsWith("2026-01-01")));
  assert.equal(lines.filter((line) => line.includes("stopped")).length, 6);
});

Deno.test("ten thousand accepted intents are ten thousand lines, also at the end", async () => {
  await using rig = await openRig();
  const pipeline = rig.redis.pipeline();
  const intents = 10_000;
  for (let index = 0; index < intents; index++) {
    pipeline.xadd(
      "notification:intents",
      "*",
      ...["notification_type", "lobby.invite.expired", "producer", "game-lobby", "audience_kind", "user"],
      ...[
        "recipient_user_ids_json",
        '["user-1"]',
        "idempotency_key",
        `key ${index}`,
        "occurred_at_ms",
        "1767225600000",
      ],
      ...["payload_json", '{"game_id":"g","game_name":"N","invitee_user_id":"u","invitee_name":"n"}'],
    );
  }
  await pipeline.exec();
  const service = await rig.start();
  await rig.settled();
  await service.terminate();
  const accepted = service.logs.filter((line) => line["notification_id"] !== undefined && line.level === "info");
  assert.equal(accepted.length, intents);
  assert.equal(new Set(accepted.map((line) => line["notification_id"])).size, intents);
});
