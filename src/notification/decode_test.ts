/** The rules of section 2 of docs/contract.md at their limits, and their order; decode() never throws. */
import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { embeddedCatalog, loadCatalog } from "./catalog.ts";
import { MAX_PAYLOAD_BYTES, MAX_RECIPIENTS } from "./field_values.ts";
import { decode } from "./decode.ts";
import { type Intent, type Malformed, MALFORMED_CODES, type MalformedCode } from "./intent.ts";
import type { FieldValue, StreamEntry } from "./stream_entry.ts";
import {
  ADMINISTRATOR_FIELDS,
  type Changes,
  cutValue,
  entryWith,
  fieldsWith,
  VALID_FIELDS,
} from "../../tests/support/examples.ts";

const catalog = embeddedCatalog();

function accepted(changes: Changes = {}): Intent {
  const outcome = decode(entryWith(changes), catalog);
  assert.equal(outcome.kind, "intent", outcome.kind === "malformed" ? outcome.message : "");
  return outcome as Intent;
}

function refused(entry: StreamEntry): Malformed {
  const outcome = decode(entry, catalog);
  assert.equal(outcome.kind, "malformed");
  return outcome as Malformed;
}

/** A payload of exactly this many bytes. */
function payloadOfBytes(bytes: number, filler = "x"): string {
  const start = '{"game_id":"g","game_name":"n","turn_number":1,"more":"';
  const size = new TextEncoder().encode(filler).length;
  const left = bytes - start.length - 2;
  return `${start}${filler.repeat(Math.floor(left / size))}${"x".repeat(left % size)}"}`;
}

/** A payload with nested arrays: the object is level 1, the innermost array is the last level. */
function payloadOfDepth(depth: number): string {
  return `{"game_id":"g","game_name":"n","turn_number":1,"more":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
}

const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("decode() returns an intent with the producer's values", () => {
  const entry = entryWith({ request_id: "r-1", trace_id: "t-1" });
  const { type, fingerprint, notificationId, ...intent } = decode(entry, catalog) as Intent;
  assert.equal(type, catalog.get("game.turn.ready"));
  assert.match(notificationId, /^019a7afd-1e01-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(fingerprint, /^[0-9a-f]{64}$/);
  assert.deepEqual(intent, {
    kind: "intent",
    entry,
    producer: "game-master",
    audienceKind: "user",
    recipientUserIds: ["user-1", "user-2"],
    idempotencyKey: "turn-54",
    occurredAtMs: 1763000000000,
    payload: VALID_FIELDS.payload_json,
    requestId: "r-1",
    traceId: "t-1",
    traceparent: "",
  });
});

Deno.test("decode() keeps the payload's text unchanged", () => {
  const payload = ' {"turn_number": 12345678901234567890,\t"game_id":"\\u2603\\ud83d\\ude00","game_name":"☃😀",' +
    '"price": 1.10,"e":1E+2,"zero":-0.0,"twice":1,"twice":{"__proto__":[null]}}\n';
  assert.equal(accepted({ payload_json: payload }).payload, payload);
});

Deno.test("decode() refuses an entry that breaks a rule, with the rule's code and a message that names the field", () => {
  const characters257 = "😀".repeat(257);
  const examples: Record<MalformedCode, [Changes, RegExp][]> = {
    invalid_fields: [
      ...["notification_type", "producer", "audience_kind", "idempotency_key", "occurred_at_ms", "payload_json"]
        .flatMap((name): [Changes, RegExp][] => [
          [{ [name]: undefined }, new RegExp(`^${name} is missing$`)],
          [{ [name]: "" }, new RegExp(`^${name} is empty$`)],
          [{ [name]: bytes(0x7b, 0xff, 0x7d) }, new RegExp(`^${name} is not UTF-8$`)],
          [{ [name]: "a\0b" }, new RegExp(`^${name} contains a NUL character$`)],
        ]),
      ...["recipient_user_ids_json", "request_id", "trace_id"].flatMap((name): [Changes, RegExp][] => [
        [{ [name]: bytes(0xc3) }, new RegExp(`^${name} is not UTF-8$`)],
        [{ [name]: "\0" }, new RegExp(`^${name} contains a NUL character$`)],
      ]),
      ...["idempotency_key", "request_id", "trace_id"].flatMap((name): [Changes, RegExp][] => [
        [{ [name]: characters257 }, new RegExp(`^${name} is longer than 256 characters$`)],
        [{ [name]: "x".repeat(257) }, new RegExp(`^${name} is longer than 256 characters$`)],
        [{ [name]: cutValue("x") }, new RegExp(`^${name} is too long$`)],
      ]),
      [{ notification_type: cutValue("x") }, /^notification_type is too long$/],
      [{ payload_json: new Uint8Array(MAX_PAYLOAD_BYTES).fill(0xff) }, /^payload_json is not UTF-8$/],
      [{ payload_json: "\0".repeat(MAX_PAYLOAD_BYTES) }, /^payload_json contains a NUL character$/],
    ],
    unknown_notification_type: [
      [{ notification_type: "game.turn.Ready" }, /^notification_type "game.turn.Ready" is not in the catalog$/],
      [{ notification_type: "__proto__" }, /__proto__/],
      [{ notification_type: "toString" }, /toString/],
      [{ notification_type: "x".repeat(1_000_000) }, /^notification_type "x{80}…" is not in the catalog$/],
    ],
    producer_not_allowed: [
      [{ producer: "game-lobby" }, /^producer "game-lobby" may not send game.turn.ready; allowed: game-master$/],
      [{ producer: "game-master " }, /^producer "game-master "/],
    ],
    audience_not_allowed: [
      [{ audience_kind: "admin_email" }, /^audience_kind "admin_email" is not allowed for game.turn.ready; .* user$/],
      [{ audience_kind: "everybody" }, /^audience_kind "everybody"/],
      [{ audience_kind: "constructor" }, /^audience_kind "constructor"/],
    ],
    invalid_recipients: [
      ...["", undefined].map((text): [Changes, RegExp] => [
        { recipient_user_ids_json: text },
        /^recipient_user_ids_json is missing; audience_kind user needs a JSON array of user ids$/,
      ]),
      ...Object.entries({
        "[]": / must name at least one user/,
        " [ ] ": / must name at least one user/,
        "user-1": / is not JSON: /,
        '["a",]': / is not JSON: /,
        '"user-1"': / must be a JSON array/,
        '{"0":"a","length":1}': / must be a JSON array/,
        "null": / must be a JSON array/,
        '["a",1]': / \[1\] must be a string, got a number$/,
        '["a",null]': / \[1\] must be a string, got null$/,
        '[["a"]]': / \[0\] must be a string, got an array$/,
        '["a",""]': / \[1\] is empty$/,
        '["."]': / \[0\] must not be "\." or "\.\."$/,
        '["a",".."]': / \[1\] must not be "\." or "\.\."$/,
        '["\\u002e"]': / \[0\] must not be "\."/,
        '["a\\u0000"]': / contains \\u0000$/,
        '["\\ud800"]': / contains a lone surrogate$/,
      }).map(([text, message]): [Changes, RegExp] => [{ recipient_user_ids_json: text }, message]),
      [{ recipient_user_ids_json: `["${"x".repeat(129)}"]` }, / \[0\] is longer than 128 characters$/],
      [{ recipient_user_ids_json: `["${"😀".repeat(129)}"]` }, / \[0\] is longer than 128 characters$/],
      [{ recipient_user_ids_json: "[".repeat(101) + "]".repeat(101) }, / is nested deeper than 100 levels$/],
      [{ recipient_user_ids_json: "[".repeat(5_000_000) }, / is nested deeper than 100 levels$/],
      [{ recipient_user_ids_json: " ".repeat(16_000_000) }, / is not JSON: /],
      [{ recipient_user_ids_json: cutValue('["a"') }, / is too long$/],
      [
        { recipient_user_ids_json: JSON.stringify(Array.from({ length: MAX_RECIPIENTS + 1 }, (_, at) => `${at}`)) },
        / names 10001 users; at most 10000 are allowed$/,
      ],
      ...['["a"]', "[null]", "null", "{}", "x", " ", "[\u00a0]", "[" + " ".repeat(16_000_000), cutValue("[]")].map(
        (
          value,
        ): [Changes, RegExp] => [{ ...ADMINISTRATOR_FIELDS, recipient_user_ids_json: value }, /too long|admin_email$/],
      ),
    ],
    invalid_occurred_at: [
      ...["1763000000000.0", "+1763000000000", "-1763000000000", " 1763000000000", "1.763e12", "0x19a", "１２", "x"]
        .map((
          text,
        ): [Changes, RegExp] => [{ occurred_at_ms: text }, /^occurred_at_ms must be Unix milliseconds in decimal/]),
      ...["0", "946684799999", "4133980800000", "1763000000", "9".repeat(1_000_000)]
        .map((
          text,
        ): [Changes, RegExp] => [{ occurred_at_ms: text }, /^occurred_at_ms must lie in the years 2000 to 2100/]),
    ],
    invalid_payload: [
      ...["null", "[]", '"x"', "1", '[{"game_id":"g"}]']
        .map((text): [Changes, RegExp] => [{ payload_json: text }, /^payload_json must be a JSON object$/]),
      ...[
        "x",
        "{",
        '{"a":1}}',
        "{'a':1}",
        '{"a":01}',
        '{"a":NaN}',
        "\ufeff{}",
        "\u00a0{}",
        '{"a":"\n"}',
        "😀",
        '{"a":1,}',
      ]
        .map((text): [Changes, RegExp] => [{ payload_json: text }, /^payload_json is not JSON: /]),
      [{ payload_json: '{"game_id":"a\\u0000"}' }, /^payload_json contains \\u0000$/],
      [{ payload_json: '{"\\udc00":1}' }, /^payload_json contains a lone surrogate$/],
      [{ payload_json: payloadOfDepth(101) }, /^payload_json is nested deeper than 100 levels$/],
      [{ payload_json: payloadOfBytes(MAX_PAYLOAD_BYTES + 1) }, /^payload_json is longer than 262144 bytes$/],
      [{ payload_json: payloadOfBytes(MAX_PAYLOAD_BYTES + 1, "☃") }, /^payload_json is longer than 262144 bytes$/],
      [{ payload_json: cutValue("{") }, /^payload_json is longer than 262144 bytes$/],
      [{ payload_json: "\0".repeat(MAX_PAYLOAD_BYTES + 1) }, /^payload_json is longer than 262144 bytes$/],
      [{ payload_json: new Uint8Array(MAX_PAYLOAD_BYTES + 1) }, /^payload_json is longer than 262144 bytes$/],
      [{ payload_json: '{"game_id":"g","game_name":"n"}' }, /^payload_json does not match .* turn_number: is missing$/],
      [{ payload_json: '{"game_id":"","game_name":"n","turn_number":1}' }, / game_id: must have at least 1 character/],
      [{ payload_json: '{"game_id":"g","game_name":1,"turn_number":1}' }, / game_name: must be a string, got 1$/],
      [{ payload_json: '{"game_id":"g","game_name":"n","turn_number":0}' }, / turn_number: must be at least 1/],
      [
        { payload_json: '{"game_id":"g","game_name":"n","turn_number":1.5}' },
        / turn_number: must be an integer, got 1.5$/,
      ],
    ],
    // decode() does not find these.
    idempotency_conflict: [],
    recipient_not_found: [],
    set_aside: [],
  };
  for (const code of MALFORMED_CODES) {
    for (const [changes, message] of examples[code]) {
      const outcome = refused(entryWith(changes));
      assert.deepEqual([outcome.code, message.test(outcome.message)], [code, true], `${message}: ${outcome.message}`);
    }
  }
});

Deno.test("decode() takes under a second for a payload of 256 KiB whose pattern a backtracking engine needs minutes for", () => {
  const payload = { type: "object", properties: { contact: { type: "string", pattern: "[a-z]+@[a-z]+" } } };
  const types = { "a.b": { producers: ["p"], audiences: { user: ["push"] }, payload } };
  const loaded = loadCatalog(JSON.stringify({ types }));
  assert.equal(loaded.kind, "ok");
  const text = (contact: string) => JSON.stringify({ contact });
  const letters = "a".repeat(MAX_PAYLOAD_BYTES - text("").length - 2);
  for (const [contact, isValid] of [[letters, false], [`${letters}@a`, true]] as const) {
    const entry = entryWith({ notification_type: "a.b", producer: "p", payload_json: text(contact) });
    const before = process.cpuUsage();
    const outcome = decode(entry, loaded.kind === "ok" ? loaded.catalog : catalog);
    const tookMs = process.cpuUsage(before).user / 1000;
    assert.equal(outcome.kind, isValid ? "intent" : "malformed");
    assert.ok(tookMs < 1_000, `${tookMs} ms`);
  }
});

Deno.test("decode() refuses a repeated field, whatever its values", () => {
  for (const name of [...Object.keys(VALID_FIELDS), "request_id", "trace_id"]) {
    for (const value of ["", "x", VALID_FIELDS[name as keyof typeof VALID_FIELDS] ?? "y", bytes(0xff)]) {
      const fields = [...fieldsWith({ request_id: "r", trace_id: "t" }), name, value];
      const { code, message } = refused({ id: "1-1", fields });
      assert.deepEqual([code, message], ["invalid_fields", `${name} occurs more than once`]);
    }
  }
});

Deno.test("decode() counts the first rule that is broken, in the contract's order", () => {
  const breaches: [MalformedCode, Changes][] = [
    ["invalid_fields", { request_id: "x".repeat(257) }],
    ["unknown_notification_type", { notification_type: "no.such.type" }],
    ["producer_not_allowed", { producer: "nobody" }],
    ["audience_not_allowed", { audience_kind: "admin_email" }],
    ["invalid_recipients", { recipient_user_ids_json: "[1]" }],
    ["invalid_occurred_at", { occurred_at_ms: "yesterday" }],
    ["invalid_payload", { payload_json: payloadOfBytes(MAX_PAYLOAD_BYTES + 1) }],
  ];
  fc.assert(fc.property(fc.subarray(breaches), (broken) => {
    const outcome = decode(entryWith(Object.assign({}, ...broken.map(([, changes]) => changes))), catalog);
    assert.equal(outcome.kind === "malformed" ? outcome.code : undefined, broken[0]?.[0]);
  }));
});

Deno.test("decode() accepts everything up to the limits", () => {
  const occurred = (...date: [number, number, number?, number?, number?, number?, number?]) =>
    String(Date.UTC(...date));
  const allowed: Changes[] = [
    { idempotency_key: "😀".repeat(256), request_id: "☃".repeat(256), trace_id: "x".repeat(256) },
    { idempotency_key: " " },
    { occurred_at_ms: occurred(2000, 0) },
    { occurred_at_ms: occurred(2100, 11, 31, 23, 59, 59, 999) },
    { occurred_at_ms: "0001763000000000" },
    { payload_json: payloadOfBytes(MAX_PAYLOAD_BYTES) },
    { payload_json: payloadOfBytes(MAX_PAYLOAD_BYTES, "☃") },
    { payload_json: payloadOfDepth(100) },
    { recipient_user_ids_json: `["${"😀".repeat(128)}"]` },
    { recipient_user_ids_json: '["...", " ", "%2e", "__proto__", "\\"", "a/b?c#d"]' },
    { recipient_user_ids_json: JSON.stringify(Array.from({ length: MAX_RECIPIENTS }, (_, at) => `user-${at}`)) },
    ...[undefined, "", "[]", " [\n] "].map((text) => ({ ...ADMINISTRATOR_FIELDS, recipient_user_ids_json: text })),
  ];
  for (const changes of allowed) accepted(changes);
});

Deno.test("decode() folds repeated recipients and keeps their order", () => {
  const userId = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((id) =>
    ![".", "..", "\0"].includes(id)
  );
  fc.assert(fc.property(fc.array(userId.filter((id) => !id.includes("\0")), { minLength: 1 }), (ids) => {
    const { recipientUserIds } = accepted({ recipient_user_ids_json: JSON.stringify(ids) });
    assert.deepEqual(recipientUserIds, ids.filter((id, at) => ids.indexOf(id) === at));
  }));
});

Deno.test("decode() treats an empty optional field as absent", () => {
  const { requestId, traceId, traceparent } = accepted({ request_id: "", trace_id: "", traceparent: "" });
  assert.deepEqual([requestId, traceId, traceparent], ["", "", ""]);
});

Deno.test("decode() ignores other fields, whatever they contain and however often they occur", () => {
  const odd: FieldValue[] = ["__proto__", "x", "__proto__", "y", "Producer", "z", "", "", bytes(0xff), cutValue("x")];
  const names: FieldValue[] = [cutValue("producer"), "x", bytes(0x61), bytes(0)];
  assert.equal(decode({ id: "1-1", fields: [...odd, ...fieldsWith(), ...odd, ...names] }, catalog).kind, "intent");
});

Deno.test("decode() keeps a usable traceparent and ignores any other", () => {
  const usable = [
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
  ];
  for (const text of usable) assert.equal(accepted({ traceparent: text }).traceparent, text);
  const [first] = usable as [string];
  const unusable: FieldValue[] = [
    "x",
    " ",
    `${first} `,
    `${first}\n`,
    `${first}-00`,
    `${first}\0`,
    first.toUpperCase(),
    first.replace("00-", "ff-"),
    first.replace("00-", "0-"),
    first.replace("0af7651916cd43dd8448eb211c80319c", "0".repeat(32)),
    first.replace("b7ad6b7169203331", "0".repeat(16)),
    first.slice(0, -1),
    `${usable[3]}${"x".repeat(256)}`,
    bytes(0xff),
    cutValue(first),
  ];
  for (const value of unusable) assert.equal(accepted({ traceparent: value }).traceparent, "");
  const twice = decode({ id: "1-1", fields: [...fieldsWith({ traceparent: first }), "traceparent", first] }, catalog);
  assert.equal(twice.kind === "intent" && twice.traceparent, "");
});

Deno.test("decode() keeps the readable fields of a malformed intent", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const entry = entryWith({ producer: "no\0body", request_id: "r-1", trace_id: bytes(0xff), traceparent });
  const { message: _, ...malformed } = refused(entry);
  assert.deepEqual(malformed, {
    kind: "malformed",
    entry,
    code: "invalid_fields",
    notificationType: "game.turn.ready",
    producer: "no\0body",
    audienceKind: "user",
    idempotencyKey: "turn-54",
    requestId: "r-1",
    traceId: "",
    traceparent,
  });
});

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: fc.constantFrom("\ud800", "\0", "😀", "\\u", "[", "{", '"', ":", "1"), maxLength: 20 }),
  fc.json({ maxDepth: 3 }),
  fc.constantFrom(
    ...Object.values(VALID_FIELDS),
    ...Object.values(ADMINISTRATOR_FIELDS).filter((value) => value !== undefined),
  ),
  fc.constantFrom("[".repeat(300), "[]", '["a"]', '{"__proto__":{"game_id":1}}', "00-x", "9".repeat(400)),
);
const anyValue: fc.Arbitrary<FieldValue> = fc.oneof(
  { weight: 4, arbitrary: anyText },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }).map((head) => cutValue(head)) },
);
const knownName = fc.constantFrom(...Object.keys(VALID_FIELDS), "request_id", "trace_id", "traceparent");
const anyName = fc.oneof({ weight: 5, arbitrary: knownName }, { weight: 1, arbitrary: anyValue });
const anyFields = fc.array(fc.tuple(anyName, anyValue), { maxLength: 12 }).map((pairs) => pairs.flat());
const nearlyValid = fc.dictionary(knownName, anyValue, { maxKeys: 3 }).map((changes) => fieldsWith(changes));

Deno.test("decode() never throws and returns exactly one outcome, the same each time", () => {
  fc.assert(
    fc.property(fc.oneof(anyFields, nearlyValid), (fields) => {
      const entry = { id: "1763000000001-0", fields };
      const outcome = decode(entry, catalog);
      assert.deepEqual(decode(entry, catalog), outcome);
      assert.equal(outcome.entry, entry);
      const valueOf = (name: string) => fields[fields.findIndex((value, at) => at % 2 === 0 && value === name) + 1];
      if (outcome.kind === "intent") {
        assert.equal(outcome.payload, valueOf("payload_json"));
        assert.equal(outcome.idempotencyKey, valueOf("idempotency_key"));
        assert.equal(String(outcome.occurredAtMs), (valueOf("occurred_at_ms") as string).replace(/^0+/, ""));
      } else {
        assert.ok(MALFORMED_CODES.includes(outcome.code));
        assert.ok(outcome.message.length > 0 && outcome.message.length <= 500 && outcome.message.isWellFormed());
      }
    }),
    { numRuns: 2_000 },
  );
});
