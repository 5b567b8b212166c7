/** The bytes of notification_id and request_fingerprint, which are fixed forever, and when they are equal. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { canonicalPayload, notificationId, requestFingerprint, type Sameness } from "./identity.ts";

// Computed by another implementation (Python's hashlib). Records are identified by them for their whole life, so these
// never change.
Deno.test("notificationId() returns the same bytes forever", () => {
  const vectors: [entryId: string, producer: string, key: string, id: string][] = [
    ["1763000000001-0", "game-master", "turn-54", "019a7afd-1e01-71aa-a2df-81277a06d180"],
    ["0-1", "p", "k", "00000000-0000-776e-9c64-3a14b5e91d03"],
    ["18446744073709551615-7", "game-lobby", "☃😀", "ffffffff-ffff-7136-acd3-330ff5c1ddcd"],
    ["281474976710661-0", "p", "k", "00000000-0005-776e-9c64-3a14b5e91d03"],
  ];
  for (const [entryId, producer, key, id] of vectors) assert.equal(notificationId(entryId, producer, key), id);
});

Deno.test("requestFingerprint() returns the same bytes forever", () => {
  const vectors: [Omit<Sameness, "payloadValue">, canonical: string, fingerprint: string][] = [
    [
      {
        notificationType: "game.turn.ready",
        audienceKind: "user",
        recipientUserIds: ["user-2", "user-1", "user-2"],
        payload: '{"turn_number": 54, "game_name":"Nova","game_id":"\\u0067-1"}',
      },
      '{"game_id":"g-1","game_name":"Nova","turn_number":54}',
      "42a9b4fea62bb59306b398e2b9f4063edefb4acb13396796098f1f461f5a66c6",
    ],
    [
      { notificationType: "game.generation_failed", audienceKind: "admin_email", recipientUserIds: [], payload: "{ }" },
      "{}",
      "dae99aaf93421ecf5d04fa632517b47a0ac8396d8d14cc34899c0336b0840431",
    ],
    [
      {
        notificationType: "t",
        audienceKind: "user",
        recipientUserIds: ["😀", "a", "\uffee"],
        payload:
          '{"twice":1.5,"a":{"😀":false,"é":"\\b\\t\\n\\f\\r\\"\\\\\\/\\u001F\\u007f\\u2028","\\uFFEE":true},\r\n' +
          '\t"Z":[1.10,-0 ,1E+2,12345678901234567890],"":null,"twice":[2]}',
      },
      '{"":null,"Z":[1.10,-0,1E+2,12345678901234567890],"a":{"é":"\\b\\t\\n\\f\\r\\"\\\\/\\u001f\u007f\u2028",' +
      '"\uffee":true,"😀":false},"twice":[2]}',
      "5013d53387bfc2b81bdbfd3c4d7898b7c35060fa588cec654099c9f492363173",
    ],
  ];
  for (const [sameness, canonical, fingerprint] of vectors) {
    const payloadValue = JSON.parse(sameness.payload);
    assert.equal(canonicalPayload(sameness.payload, payloadValue), canonical);
    assert.equal(requestFingerprint({ ...sameness, payloadValue }), fingerprint);
  }
});

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const unsigned64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const time = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 48n - 1n }), fc.nat().map(BigInt));

Deno.test("notificationId() is the UUID that the contract describes, bit for bit", () => {
  fc.assert(fc.property(unsigned64, unsigned64, text, text, (milliseconds, sequence, producer, key) => {
    const id = notificationId(`${milliseconds}-${sequence}`, producer, key);
    assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const bits = BigInt(`0x${id.replaceAll("-", "")}`);
    const digest = createHash("sha256").update(Buffer.from(`${producer}\0${key}`)).digest("hex");
    const versionAndVariant = (0xfn << 76n) | (3n << 62n);
    assert.equal(bits >> 80n, milliseconds % 2n ** 48n);
    assert.equal((bits >> 76n) & 0xfn, 7n);
    assert.equal((bits >> 62n) & 3n, 2n);
    const rest = (2n ** 80n - 1n) & ~versionAndVariant;
    assert.equal(bits & rest, BigInt(`0x${digest.slice(0, 20)}`) & rest);
  }));
});

Deno.test("notificationId() sorts by the entry's time, as text too", () => {
  fc.assert(fc.property(time, time, text, text, (one, other, key, otherKey) => {
    const id = notificationId(`${one}-0`, "p", key);
    const otherId = notificationId(`${other}-0`, "p", otherKey);
    if (one !== other) assert.equal(id < otherId, one < other);
  }));
});

Deno.test("notificationId() distinguishes producers and keys", () => {
  const id = notificationId("1-0", "ab", "c");
  for (const [producer, key] of [["a", "bc"], ["abc", ""], ["ab", "C"]] as const) {
    assert.notEqual(notificationId("1-0", producer, key), id);
  }
});

/** A JSON value as a producer may write it: numbers as text, members in some order and sometimes repeated. */
type Written =
  | { readonly kind: "plain"; readonly text: "null" | "true" | "false" }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "array"; readonly items: readonly Written[] }
  | { readonly kind: "object"; readonly members: readonly (readonly [string, Written])[] };

const numberText = fc.oneof(
  fc.constantFrom(
    "0",
    "-0",
    "-0.0",
    "0e0",
    "1.10",
    "1.1",
    "11e-1",
    "1E400",
    "9007199254740993",
    "12345678901234567890",
  ),
  fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,20})?([eE][+-]?\d{1,3})?$/),
);
const memberName = fc.oneof(
  fc.constantFrom("a", "b", "__proto__", "constructor", "toJSON", "1", "10", "2", "\uffee", "😀", "", "text"),
  text,
);
const { written } = fc.letrec<{ written: Written; members: readonly (readonly [string, Written])[] }>((tie) => ({
  written: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("null" as const, "true" as const, "false" as const).map((text) => ({
      kind: "plain" as const,
      text,
    })),
    numberText.map((text) => ({ kind: "number" as const, text })),
    fc.oneof(text, fc.constantFrom(" 1.5 ", ":-0", '\u007f\u2028\u0001/"\\')).map((value) => ({
      kind: "string" as const,
      value,
    })),
    fc.array(tie("written"), { maxLength: 4 }).map((items) => ({ kind: "array" as const, items })),
    tie("members").map((members) => ({ kind: "object" as const, members })),
  ),
  members: fc.array(fc.tuple(memberName, tie("written")), { maxLength: 6 }),
}));
const writtenObject = fc.array(fc.tuple(memberName, written), { maxLength: 6 })
  .map((members): Written => ({ kind: "object", members }));

/** The contract's definition, implemented literally. */
function canonicalOf(value: Written): string {
  switch (value.kind) {
    case "plain":
    case "number":
      return value.text;
    case "string":
      return JSON.stringify(value.value);
    case "array":
      return `[${value.items.map(canonicalOf).join(",")}]`;
    case "object": {
      const last = new Map(value.members);
      const points = (name: string) => [...name].map((character) => character.codePointAt(0)!);
      const byCodePoint = (one: string, other: string) => {
        const [left, right] = [points(one), points(other)];
        const at = left.findIndex((point, index) => point !== right[index]);
        return at < 0 ? left.length - right.length : left[at]! - (right[at] ?? -1);
      };
      const names = [...last.keys()].sort(byCodePoint);
      return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalOf(last.get(name)!)}`).join(",")}}`;
    }
    default:
      return value satisfies never;
  }
}

/** The value as text: white space anywhere, characters as escapes, members in another order if none is repeated. */
function write(value: Written, chance: () => number): string {
  const space = () => ["", "", "", " ", "\n", "\t", "\r\n "][Math.floor(chance() * 7)]!;
  const string = (text: string) => {
    const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
    const shown = [...text].map((character) =>
      chance() < 0.3 ? character.split("").map(escaped).join("") : JSON.stringify(character).slice(1, -1)
    );
    return `"${shown.join("")}"`;
  };
  const list = (parts: readonly string[]) => parts.map((part) => `${space()}${part}${space()}`).join(",") || space();
  switch (value.kind) {
    case "plain":
    case "number":
      return value.text;
    case "string":
      return string(value.value);
    case "array":
      return `[${list(value.items.map((item) => write(item, chance)))}]`;
    case "object": {
      const isDistinct = new Set(value.members.map(([name]) => name)).size === value.members.length;
      const members = isDistinct && chance() < 0.7 ? value.members.toReversed() : value.members;
      return `{${list(members.map(([name, part]) => `${string(name)}${space()}:${space()}${write(part, chance)}`))}}`;
    }
    default:
      return value satisfies never;
  }
}

const chances = fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true }));
const writeWith = (value: Written, stream: Iterator<number>) => write(value, () => stream.next().value as number);

Deno.test("canonicalPayload() depends on what is written, not on how", () => {
  fc.assert(
    fc.property(writtenObject, chances, (value, stream) => {
      const payload = writeWith(value, stream);
      assert.equal(canonicalPayload(payload, JSON.parse(payload)), canonicalOf(value));
    }),
    { numRuns: 1_000 },
  );
});

const sameness = fc.record({
  notificationType: fc.constantFrom("a", "b"),
  audienceKind: fc.constantFrom("user", "admin_email"),
  recipientUserIds: fc.array(fc.constantFrom("u1", "u2", "😀", "\uffee"), { maxLength: 3 }),
  payload: fc.oneof(
    writtenObject,
    fc.constantFrom("1.10", "1.1").map((text): Written => ({
      kind: "object",
      members: [["a", { kind: "number", text }]],
    })),
  ),
});

Deno.test("requestFingerprint() is the same if and only if the request is", () => {
  const pair = fc.oneof(
    fc.tuple(sameness, sameness),
    fc.tuple(sameness, sameness).map(([one, other]) => [one, { ...other, payload: one.payload }] as const),
    sameness.map((one) => [one, { ...one, recipientUserIds: one.recipientUserIds.toReversed() }] as const),
  );
  fc.assert(fc.property(pair, chances, (both, stream) => {
    const [one, other] = both.map((request) => {
      const payload = writeWith(request.payload, stream);
      const recipients = [...new Set(request.recipientUserIds)].sort();
      return {
        fingerprint: requestFingerprint({ ...request, payload, payloadValue: JSON.parse(payload) }),
        meaning: [request.notificationType, request.audienceKind, recipients, canonicalOf(request.payload)],
      };
    });
    assert.equal(
      one!.fingerprint === other!.fingerprint,
      JSON.stringify(one!.meaning) === JSON.stringify(other!.meaning),
    );
  }));
});
