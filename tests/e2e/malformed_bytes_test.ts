/**
 * Entries of any bytes: what raw_fields keeps of them, how large they may be, and that they delay no other entry
 * (docs/contract.md, section 2).
 */
import assert from "node:assert/strict";
import { type MalformedRow, outcomeOf, verdicts } from "../support/outcome.ts";
import type { Rig } from "../support/rig.ts";
import { testOnOneRig } from "../support/shared_rig.ts";
import { eventually } from "../support/wait.ts";

type Bytes = string | Uint8Array;

const MIB = 1024 * 1024;
const NOT_UTF8 = new Uint8Array([0x61, 0xff, 0x00, 0xc0, 0x80]);

testOnOneRig("Malformed intents' bytes", {}, {
  "raw_fields keeps every field unchanged, in order": async ({ rig }) => {
    const fields: [Bytes, Bytes][] = [
      ["producer", "game-master"],
      ["note", "once"],
      ["__proto__", '{"a":1}'],
      ["note", "twice ☃ \ufffd \ufeff \u2028 \u0001"],
      ["", ""],
      ["producer", "game-master"],
    ];
    const { raw_fields, notification_type, producer, idempotency_key } = await malformed(rig, fields);
    assert.deepEqual(raw_fields, fields);
    assert.deepEqual([notification_type, producer, idempotency_key], [null, "game-master", null]);
  },

  "values that JSONB cannot store are kept in base64": async ({ rig }) => {
    const { raw_fields, producer, idempotency_key, notification_type } = await malformed(rig, [
      [NOT_UTF8, "value"],
      ["name", NOT_UTF8],
      ["nul", "a\0b"],
      ["\0", "nul"],
      ["surrogate", new Uint8Array([0xed, 0xa0, 0x80])],
      ["producer", NOT_UTF8],
      ["idempotency_key", "key\0key"],
      ["notification_type", "☃".repeat(300)],
    ]);
    assert.deepEqual(raw_fields, [
      [{ base64: "Yf8AwIA=" }, "value"],
      ["name", { base64: "Yf8AwIA=" }],
      ["nul", { base64: "YQBi" }],
      [{ base64: "AA==" }, "nul"],
      ["surrogate", { base64: "7aCA" }],
      ["producer", { base64: "Yf8AwIA=" }],
      ["idempotency_key", { base64: "a2V5AGtleQ==" }],
      ["notification_type", "☃".repeat(300)],
    ]);
    assert.equal(notification_type, "☃".repeat(256));
    assert.match(idempotency_key ?? "", /^key[^\0]key$/u);
    assert.ok(!producer?.includes("\0"));
  },

  "a payload of 3 MiB is malformed, and raw_fields keeps its beginning, length and SHA-256": async ({ rig }) => {
    const payload = `{"game_id":"g","text":"${"☃".repeat(MIB)}"}`;
    const entryId = await rig.addIntent({ payload_json: payload });
    await rig.settled();
    const row = (await outcomeOf(rig, entryId)).malformed;
    assert.equal(row?.failure_code, "invalid_payload");
    const kept = row?.raw_fields.find(([name]) => name === "payload_json")?.[1];
    const text = JSON.stringify(kept);
    assert.ok(text.length < 1.5 * MIB && text.includes('{\\"game_id\\":\\"g\\",\\"text\\":\\"☃☃'), text.slice(0, 200));
    const bytes = new TextEncoder().encode(payload);
    assert.ok(text.includes(await sha256(bytes)) && text.includes(String(bytes.length)), text.slice(-200));
    assert.deepEqual(row?.raw_fields.find(([name]) => name === "producer"), ["producer", "game-master"]);
  },

  "raw_fields never exceeds 4 MiB": async ({ rig }) => {
    const large: [Bytes, Bytes][][] = [
      Array.from({ length: 12 }, (_, index) => [`field-${index}`, "x".repeat(MIB)]),
      Array.from({ length: 5 }, (_, index) => [`control-${index}`, "\u0001".repeat(MIB - 1)]),
      Array.from({ length: 5 }, (_, index) => [`bytes-${index}`, new Uint8Array(2 * MIB).fill(0xff)]),
      Array.from({ length: 40_000 }, (_, index) => [`field-${index}`, "a hundred characters. ".repeat(5)]),
      [["x".repeat(3 * MIB), "y"], [new Uint8Array(3 * MIB).fill(0xff), "y"]],
    ];
    const entryIds: string[] = [];
    for (const fields of large) entryIds.push(await rig.addEntry(fields));
    await rig.settled();
    assert.deepEqual(await verdicts(rig, entryIds), large.map(() => "invalid_fields"));
    for (const entryId of entryIds) {
      const { malformed: row } = await outcomeOf(rig, entryId);
      const kept = keptBytes(row?.raw_fields);
      assert.ok(
        kept > MIB && kept <= 4 * MIB + 1024,
        `${kept} bytes kept of the entry ${JSON.stringify(row).slice(0, 300)}`,
      );
    }
  },

  "an intent with garbage in any field is only recorded as malformed": async ({ rig }) => {
    const garbage: Bytes[] = [
      ...[
        "\0",
        "\ufffe",
        "__proto__",
        "constructor",
        "{}",
        "[]",
        "null",
        "-0",
        "1e400",
        "'; DROP TABLE",
        "$1",
        "\\x00",
      ],
      ...["\\", '"', "{{}}", "\\N", "\r\n", "\u202e", "[".repeat(200_000), '{"a":'.repeat(50_000), "9".repeat(100_000)],
      ...[new Uint8Array(0), NOT_UTF8, Uint8Array.from({ length: 256 }, (_, index) => index), new Uint8Array(MIB)],
    ];
    const names = ["notification_type", "producer", "audience_kind", "recipient_user_ids_json", "payload_json"];
    const entryIds = await Promise.all(
      names.flatMap((name) => garbage.map((value) => rig.addIntent({ [name]: value }))),
    );
    await rig.settled();
    const found = await verdicts(rig, entryIds);
    const fine =
      /^(invalid_fields|invalid_recipients|invalid_payload|unknown_notification_type|(producer|audience)_not_allowed)$/;
    assert.deepEqual(found.filter((verdict) => !fine.test(verdict)), []);
  },

  "thousands of garbage entries delay no other entry, and their log lines are limited": async ({ rig, service }) => {
    const good: string[] = [];
    const bad: string[] = [];
    const pipeline = rig.redis.pipeline();
    for (let index = 0; index < 5_000; index++) {
      pipeline.xadd("notification:intents", "*", `garbage-${index}`, "\0", "producer", "x".repeat(index % 500));
    }
    good.push(await rig.addIntent());
    const begun = performance.now();
    for (const [, id] of await pipeline.exec() ?? []) bad.push(String(id));
    good.push(await rig.addIntent());
    await rig.settled();
    const seconds = (performance.now() - begun) / 1000;
    assert.deepEqual(await verdicts(rig, good), ["accepted", "accepted"]);
    assert.deepEqual(new Set(await verdicts(rig, bad)), new Set(["invalid_fields"]));
    // Every malformed intent has a line of its own or is counted; there are at most ten lines per second.
    const lines = () => service.logs.filter((line) => line.level === "warn" && line.message.startsWith("malformed"));
    const counted = () => lines().reduce((sum, line) => sum + (line["stream_entry_id"] ? 1 : Number(line["lines"])), 0);
    const [row] = await rig.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM notification.malformed_intents",
    );
    await eventually(() => counted() === row?.count, {
      message: () => `${counted()} of ${row?.count} in ${lines().length}`,
    });
    const own = lines().filter((line) => bad.includes(`${line["stream_entry_id"]}`)).length;
    assert.ok(own <= 10 * (seconds + 2), `${own} lines in ${seconds} s`);
  },
});

async function malformed(rig: Rig, fields: readonly (readonly [Bytes, Bytes])[]): Promise<MalformedRow> {
  const entryId = await rig.addEntry(fields);
  await rig.settled();
  const { malformed: row } = await outcomeOf(rig, entryId);
  assert.equal(row?.failure_code, "invalid_fields");
  return row;
}

/** The size of the kept names and values, in bytes: texts, base64, and the hashes of values that were cut. */
function keptBytes(value: unknown): number {
  if (typeof value === "string") return new TextEncoder().encode(value).length;
  if (typeof value !== "object" || value === null) return 0;
  if ("base64" in value && typeof value.base64 === "string") return atob(value.base64).length;
  return Object.values(value).reduce((sum: number, part: unknown) => sum + keptBytes(part), 0);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
