/**
 * The failure code of a malformed intent: every code, the order of the checks, and the last values that are still valid
 * (docs/contract.md, section 2).
 */
import assert from "node:assert/strict";
import { type IntentFields, validIntent } from "../support/intents.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import type { Rig } from "../support/rig.ts";
import { type Running, testOnOneRig } from "../support/shared_rig.ts";

type Cases = Readonly<Record<string, IntentFields>>;

const GAME = '"game_id":"g","game_name":"N"';
const NOT_UTF8 = new Uint8Array([0x61, 0xff, 0x62]);
const FIELDS = [
  "notification_type",
  "producer",
  "audience_kind",
  "recipient_user_ids_json",
  "idempotency_key",
  "occurred_at_ms",
  "payload_json",
] as const;
const ADMINISTRATORS = {
  notification_type: "game.generation_failed",
  audience_kind: "admin_email",
  recipient_user_ids_json: undefined,
  payload_json: `{${GAME},"failure_reason":"r"}`,
};

testOnOneRig("Malformed intents' codes", { otherUsers: (id) => id === "nobody" ? undefined : {} }, {
  "invalid_fields": allAre("invalid_fields", {
    ...each(FIELDS.filter((name) => name !== "recipient_user_ids_json"), {
      "is missing": () => undefined,
      "is empty": () => "",
    }),
    ...each([...FIELDS, "request_id", "trace_id"], {
      "is not UTF-8": () => NOT_UTF8,
      "has a NUL": (value) => `${value}\0`,
      "is an encoded surrogate": () => new Uint8Array([0xed, 0xa0, 0x80]),
    }),
    "idempotency_key is too long": { idempotency_key: "☃".repeat(257) },
    "request_id is too long": { request_id: "x".repeat(257) },
    "trace_id is too long": { trace_id: "😀".repeat(257) },
  }),

  "a known field that is repeated is invalid_fields, even with the same value": async ({ rig }) => {
    const names = [...FIELDS, "request_id", "trace_id"];
    const entryIds = await Promise.all(names.map((name) => {
      const entries = entriesOf({ request_id: "r", trace_id: "t" });
      return rig.addEntry([...entries, ...entries.filter(([other]) => other === name)]);
    }));
    await rig.settled();
    assert.deepEqual(await verdicts(rig, entryIds), names.map(() => "invalid_fields"));
  },

  "unknown_notification_type": allAre(
    "unknown_notification_type",
    Object.fromEntries(
      ["game.turn", "Game.Turn.Ready", "__proto__", "constructor", " game.turn.ready", "x".repeat(300_000)].map(
        (notification_type) => [notification_type.slice(0, 20), { notification_type }],
      ),
    ),
  ),

  "producer_not_allowed": allAre("producer_not_allowed", {
    "the producer of another type": { producer: "game-lobby" },
    "an inherited name": { producer: "__proto__" },
    "other case": { producer: "Game-Master" },
  }),

  "audience_not_allowed": allAre("audience_not_allowed", {
    "known, but not for the type": { audience_kind: "admin_email", recipient_user_ids_json: undefined },
    "user for an administrators' type": { ...ADMINISTRATORS, audience_kind: "user" },
    "unknown": { audience_kind: "everybody" },
    "inherited": { audience_kind: "toString" },
  }),

  "invalid_recipients": allAre("invalid_recipients", {
    ...Object.fromEntries(
      [
        ...["[]", "[ ]", "", "null", "user-1", '"user-1"', '{"0":"user-1"}', "[1]", "[null]", '[["user-1"]]', '[""]'],
        ...[
          '["user-1",]',
          '["user-1"',
          "['user-1']",
          '["."]',
          '[".."]',
          '["user-1",".."]',
          '["\\u0000"]',
          '["\\ud800"]',
        ],
        ...['["\\udc00\\ud800"]', `["${"x".repeat(129)}"]`, `["${"😀".repeat(129)}"]`, `${"[".repeat(5_000)}`],
        JSON.stringify(Array.from({ length: 10_001 }, (_, index) => `user-${index}`)),
      ].map((text) => [text.slice(0, 20) || "empty", { recipient_user_ids_json: text }]),
    ),
    "missing": { recipient_user_ids_json: undefined },
    "present for administrators": { ...ADMINISTRATORS, recipient_user_ids_json: '["user-1"]' },
    "garbage for administrators": { ...ADMINISTRATORS, recipient_user_ids_json: "garbage" },
  }),

  "invalid_occurred_at": allAre(
    "invalid_occurred_at",
    Object.fromEntries(
      [
        ...["-1", "+1767225600000", "1767225600000.0", "1767225600e3", " 1767225600000", "1767225600000\n", "0x19B"],
        ...["١٧٦٧٢٢٥٦٠٠٠٠٠", "2026-01-01T00:00:00Z", "0", "946684799999", "4133980800000", "9".repeat(30), "NaN"],
        "1767225600000000", // microseconds
      ].map((occurred_at_ms) => [occurred_at_ms, { occurred_at_ms }]),
    ),
  ),

  "invalid_payload": allAre(
    "invalid_payload",
    Object.fromEntries(
      [
        ...["[]", "null", '"text"', "7", "{", `{${GAME},"turn_number":1,}`, `{${GAME},"turn_number":NaN}`, " "],
        ...[
          `{${GAME}}`,
          '{"game_id":"","game_name":"N","turn_number":1}',
          '{"game_id":1,"game_name":"N","turn_number":1}',
        ],
        ...['"1"', "0", "-1", "1.5", "1.10", "null", "true", "[1]"].map((n) => `{${GAME},"turn_number":${n}}`),
        ...['"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '{"\\u0000":1}', '{"\\ud800":1}', "01", "'x'", '"\t"'].map(
          extra,
        ),
        ...[extra("[".repeat(100) + "]".repeat(100)), extra('{"a":'.repeat(100) + "1" + "}".repeat(100))],
        ...["[".repeat(100_000), extra(`"${"x".repeat(256 * 1024)}"`), extra(`"${"☃".repeat(90 * 1024)}"`)],
        `\ufeff${extra("1")}`,
      ].map((payload_json, index) => [`${index} ${payload_json.slice(0, 60)}`, { payload_json }]),
    ),
  ),

  "the last value that is still good": allAre("accepted", {
    "a key of 256 characters": { idempotency_key: `${crypto.randomUUID()}${"😀".repeat(220)}` },
    "a request_id and a trace_id of 256 characters": { request_id: "😀".repeat(256), trace_id: "x".repeat(256) },
    "a recipient of 128 characters": { recipient_user_ids_json: `["${"😀".repeat(128)}"]` },
    "recipients with white space and escapes": { recipient_user_ids_json: ' [ "\\u0061\\ud83d\\ude00" , "..." ] ' },
    "a recipient many times": { recipient_user_ids_json: '["user-1","user-1","\\u0075ser-1"]' },
    "administrators with []": { ...ADMINISTRATORS, recipient_user_ids_json: "[]" },
    "administrators with nothing": { ...ADMINISTRATORS, recipient_user_ids_json: "" },
    "nested 100 deep": { payload_json: extra("[".repeat(99) + "]".repeat(99)) },
    "exactly 256 KiB": { payload_json: extra(`"${"x".repeat(256 * 1024 - extra('""').length)}"`) },
    "a large integer": { payload_json: `{${GAME},"turn_number":123456789012345678901234567890}` },
    "an integer with a fraction of zero": { payload_json: `{${GAME},"turn_number":1.0}` },
    "members of any name": { payload_json: `{${GAME},"turn_number":1,"__proto__":{"x":1},"":0,"toString":null}` },
    "the last of repeated members counts": { payload_json: `{${GAME},"turn_number":"x","turn_number":1}` },
    "paired surrogates": { payload_json: extra('"\\ud83d\\ude00"') },
    "a backslash before u0000": { payload_json: extra('"\\\\u0000 \\\\ud800"') },
    "a number beyond all doubles": { payload_json: extra("1e999") },
  }),

  "the first failure in the order of the checks counts": async ({ rig }) => {
    const key = crypto.randomUUID();
    await rig.addIntent({ idempotency_key: key });
    const faults: readonly (readonly [string, IntentFields])[] = [
      ["recipient_not_found", { recipient_user_ids_json: '["nobody"]' }],
      ["idempotency_conflict", { idempotency_key: key }],
      ["invalid_payload", { payload_json: `{${GAME},"turn_number":"${"x".repeat(256 * 1024)}"}` }],
      ["invalid_occurred_at", { occurred_at_ms: "yesterday" }],
      ["invalid_recipients", { recipient_user_ids_json: "[]" }],
      ["audience_not_allowed", { audience_kind: "everybody" }],
      ["producer_not_allowed", { producer: "game-lobby" }],
      ["unknown_notification_type", { notification_type: "no.such.type" }],
      ["invalid_fields", { request_id: "\0" }],
    ];
    let changes: IntentFields = {};
    const entryIds: string[] = [];
    for (const [, fault] of faults) entryIds.push(await rig.addIntent(changes = { ...changes, ...fault }));
    await rig.settled();
    assert.deepEqual(await verdicts(rig, entryIds), faults.map(([code]) => code));
  },

  "a malformed intent does not use up its key": async ({ rig }) => {
    const broken: readonly IntentFields[] = [
      { request_id: "\0" },
      { notification_type: "no.such.type" },
      { audience_kind: "everybody" },
      { recipient_user_ids_json: "[]" },
      { occurred_at_ms: "yesterday" },
      { payload_json: "{}" },
      { recipient_user_ids_json: '["nobody"]' },
    ];
    const together: string[] = [];
    const later: string[] = [];
    const keys = broken.map(() => crypto.randomUUID());
    for (const [index, changes] of broken.entries()) {
      await rig.addIntent({ ...changes, idempotency_key: keys[index] });
      together.push(await rig.addIntent({ idempotency_key: keys[index] }));
    }
    await rig.settled();
    for (const idempotency_key of keys) later.push(await rig.addIntent({ idempotency_key }));
    await rig.settled();
    assert.deepEqual(await verdicts(rig, together), broken.map(() => "accepted"));
    assert.deepEqual(await verdicts(rig, later), broken.map(() => "duplicate"));
  },

  "a malformed intent has a row with a message for its producer, and no routes": async ({ rig }) => {
    const before = Date.now();
    const entryId = await rig.addIntent({ payload_json: `{${GAME},"turn_number":"seven"}`, idempotency_key: "k ☃" });
    await rig.settled();
    const { record, malformed, routes } = await outcomeOf(rig, entryId);
    assert.ok(malformed !== undefined && record === undefined && routes.length === 0);
    const { failure_message, recorded_at, raw_fields: _, ...rest } = malformed;
    assert.deepEqual(rest, {
      stream: "notification:intents",
      stream_entry_id: entryId,
      notification_type: "game.turn.ready",
      producer: "game-master",
      idempotency_key: "k ☃",
      failure_code: "invalid_payload",
    });
    assert.match(failure_message, /turn_number/);
    assert.ok(recorded_at.getTime() >= before - 1 && recorded_at.getTime() <= Date.now() + 1);
  },
});

/** A step: sends every case at once; `code` is the expected outcome of each. */
function allAre(code: string, cases: Cases): (running: Running) => Promise<void> {
  return async ({ rig }) => {
    const entryIds = await Promise.all(Object.values(cases).map((changes) => rig.addIntent(changes)));
    await rig.settled();
    const found = await verdicts(rig, entryIds);
    const names = Object.keys(cases);
    assert.deepEqual(pairs(names, found), pairs(names, names.map(() => code)));
    await messagesAreFit(rig, entryIds);
  };
}

async function messagesAreFit(rig: Rig, entryIds: readonly string[]): Promise<void> {
  const unfit = await rig.query(
    `SELECT failure_code, failure_message FROM notification.malformed_intents
      WHERE stream_entry_id = ANY ($1) AND (char_length(failure_message) NOT BETWEEN 10 AND 500
         OR char_length(notification_type) > 256 OR char_length(producer) > 256 OR char_length(idempotency_key) > 256)`,
    [entryIds],
  );
  assert.deepEqual(unfit, []);
}

/** `<field> <what is wrong>` for each field and each way. */
function each(
  names: readonly string[],
  ways: Record<string, (value: string) => string | Uint8Array | undefined>,
): Cases {
  return Object.fromEntries(
    names.flatMap((name) =>
      Object.entries(ways).map(([way, change]) => {
        const value = new Map<string, string | Uint8Array>(entriesOf({})).get(name);
        return [`${name} ${way}`, { [name]: change(typeof value === "string" ? value : "x") }];
      })
    ),
  );
}

/** A good payload with one more member. */
function extra(value: string): string {
  return `{${GAME},"turn_number":1,"extra":${value}}`;
}

function entriesOf(changes: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(validIntent(changes)).map(([name, value]) => [name, String(value)]);
}

function pairs(names: readonly string[], values: readonly string[]): string[] {
  return names.map((name, index) => `${name}: ${values[index]}`);
}
