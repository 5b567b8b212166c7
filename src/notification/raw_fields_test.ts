/** The stored form of a malformed entry: JSON that JSONB can store, from which every kept value can be restored. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { MAX_KEPT_BYTES, MAX_VALUE_BYTES, rawFields } from "./raw_fields.ts";
import type { FieldValue, StreamEntry } from "./stream_entry.ts";
import { cutValue } from "../../tests/support/examples.ts";

const MEBIBYTE = 1024 * 1024;
const sha256 = (value: string | Uint8Array) => createHash("sha256").update(value).digest("hex");
const keptOf = (...fields: FieldValue[]) => JSON.parse(rawFields({ id: "1-1", fields }));

interface Kept {
  readonly base64?: string;
  readonly text?: string;
  readonly length?: number;
  readonly sha256?: string;
}

Deno.test("rawFields() keeps names and values in their order", () => {
  assert.deepEqual(keptOf("b", "1", "a", "", "", "☃😀", "b", '"\\\n\u0001', "__proto__", "\ufeff"), [
    ["b", "1"],
    ["a", ""],
    ["", "☃😀"],
    ["b", '"\\\n\u0001'],
    ["__proto__", "\ufeff"],
  ]);
  assert.equal(rawFields({ id: "1-1", fields: [] }), "[]");
});

Deno.test("rawFields() keeps values that JSONB can't store as base64", () => {
  assert.deepEqual(keptOf("a\0b", "\0", new Uint8Array([0xff]), new Uint8Array([0xc3, 0x28, 0])), [
    [{ base64: "YQBi" }, { base64: "AA==" }],
    [{ base64: "/w==" }, { base64: "wygA" }],
  ]);
  const part = new Uint8Array([1, 2, 0xff, 0xfe, 3]).subarray(2, 4);
  assert.deepEqual(keptOf("part", part), [["part", { base64: "//4=" }]]);
});

Deno.test("rawFields() cuts a value over 1 MiB and keeps the length and SHA-256 of the whole", () => {
  const edge = "x".repeat(MAX_VALUE_BYTES);
  assert.deepEqual(keptOf("a", edge), [["a", edge]]);

  const over = edge + "y";
  assert.deepEqual(keptOf("a", over), [["a", { text: edge, length: MAX_VALUE_BYTES + 1, sha256: sha256(over) }]]);

  const withNul = "\0" + edge;
  const [[, kept]] = keptOf("a", withNul);
  assert.deepEqual(kept, {
    base64: Buffer.from(withNul).subarray(0, MAX_VALUE_BYTES).toString("base64"),
    length: MAX_VALUE_BYTES + 1,
    sha256: sha256(withNul),
  });
});

Deno.test("rawFields() doesn't cut through a character", () => {
  for (const [character, left] of [["é", 1], ["☃", 1], ["😀", 1], ["😀", 2], ["😀", 3]] as const) {
    const head = "x".repeat(MAX_VALUE_BYTES - left);
    assert.equal(keptOf("a", head + character + "tail")[0][1].text, head);
  }
});

Deno.test("rawFields() keeps the beginning of a value that was cut before, with the length and SHA-256 of the whole", () => {
  const sha = "5".repeat(64);
  assert.deepEqual(keptOf("a", cutValue("☃"), cutValue(new Uint8Array([0xff, 0xff, 0xff, 0xff])), cutValue("a\0")), [
    ["a", { text: "☃", length: 20_000_000, sha256: sha }],
    [{ base64: "/////w==", length: 20_000_000, sha256: sha }, { base64: "YQA=", length: 20_000_000, sha256: sha }],
  ]);
});

Deno.test("rawFields() keeps at most 4 MiB and counts what it left out", () => {
  const fields = Array.from({ length: 6 }, (_, at) => [`field ${at}`, "x".repeat(MEBIBYTE)]).flat();
  const kept = keptOf(...fields) as [string | null, string | Kept][];
  assert.deepEqual(kept.map(([name]) => name), ["field 0", "field 1", "field 2", "field 3", null]);
  const cut = kept[3]![1] as Kept;
  assert.ok(cut.text!.length < MEBIBYTE && cut.text!.length > MEBIBYTE - 200);
  assert.deepEqual([cut.length, cut.sha256], [MEBIBYTE, sha256("x".repeat(MEBIBYTE))]);
  assert.deepEqual(kept.at(-1), [null, { omitted_fields: 2, omitted_bytes: 2 * (MEBIBYTE + 7) }]);
});

Deno.test("rawFields() adds the fields that were left out before", () => {
  const entry: StreamEntry = { id: "1-1", fields: ["a", "b"], omitted: { fields: 3, bytes: 900 } };
  assert.deepEqual(JSON.parse(rawFields(entry)), [["a", "b"], [null, { omitted_fields: 3, omitted_bytes: 900 }]]);
  const more = Array.from({ length: 6 }, () => ["n", "x".repeat(MEBIBYTE)]).flat();
  assert.deepEqual(JSON.parse(rawFields({ ...entry, fields: more })).at(-1), [
    null,
    { omitted_fields: 5, omitted_bytes: 900 + 2 * (MEBIBYTE + 1) },
  ]);
});

Deno.test("rawFields() is bounded for any number of small fields", () => {
  const text = rawFields({ id: "1-1", fields: Array.from({ length: 2_000_000 }, () => "") });
  assert.ok(text.length < MAX_KEPT_BYTES + 200, `${text.length}`);
  const [last, { omitted_fields: omitted }] = JSON.parse(text).at(-1);
  assert.deepEqual([last, omitted], [null, 1_000_000 - MAX_KEPT_BYTES / 8]);
});

const wellFormedText = fc.string({
  unit: fc.oneof(fc.string({ unit: "binary", minLength: 1, maxLength: 1 }), fc.constant("\0")),
});
/** A long text, described by its parts so that a counterexample is readable. */
const long = fc.record({
  bytes: fc.constantFrom(0, 10, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE),
  of: fc.constantFrom("x", "é", "☃", "😀", "\0", "\u0001"),
  tail: fc.string({ unit: "grapheme", maxLength: 3 }),
});
const written = ({ bytes, of, tail }: { bytes: number; of: string; tail: string }) =>
  of.repeat(Math.floor(bytes / Buffer.byteLength(of))) + tail;
const small: fc.Arbitrary<FieldValue> = fc.oneof(
  wellFormedText,
  fc.uint8Array({ maxLength: 20 }),
  fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.nat()).map(([head, more]) => cutValue(head, head.length + more)),
);

/** Checks the JSON against the entry: its values are those of the entry, and all others are counted. */
function checkKept({ fields }: StreamEntry, text: string): void {
  const pairs = JSON.parse(text, (_key, value) => {
    if (typeof value === "string") assert.ok(value.isWellFormed() && !value.includes("\0"));
    return value;
  }) as [unknown, unknown][];
  const omission = pairs.at(-1)?.[0] === null ? pairs.pop()![1] as Record<string, number> : undefined;
  let bytes = 0;
  pairs.flat().forEach((kept, at) => bytes += checkValue(fields[at]!, kept as string | Kept));
  assert.ok(bytes <= MAX_KEPT_BYTES, `${bytes}`);

  const missing = fields.slice(2 * pairs.length);
  if (missing.length === 0) assert.equal(omission, undefined);
  else {
    const size = missing.reduce((sum, value) => sum + lengthOf(value), 0);
    assert.deepEqual(omission, { omitted_fields: missing.length / 2, omitted_bytes: size });
    assert.ok(bytes > MAX_KEPT_BYTES - 100, "there was room");
  }
}

/** How many bytes of `came` are in `kept`; throws if `kept` differs from `came`. */
function checkValue(came: FieldValue, kept: string | Kept): number {
  if (typeof kept === "string") {
    assert.equal(kept, came);
    return Buffer.byteLength(kept);
  }
  const isBase64 = kept.base64 !== undefined;
  const head = isBase64 ? Buffer.from(kept.base64, "base64") : Buffer.from(kept.text!);
  const whole = typeof came === "string"
    ? Buffer.from(came)
    : came instanceof Uint8Array
    ? Buffer.from(came)
    : undefined;
  const known = whole ?? Buffer.from((came as { head: Uint8Array }).head);
  assert.ok(known.subarray(0, head.length).equals(head));
  if (kept.sha256 === undefined) {
    assert.ok(isBase64 && whole !== undefined && head.length === whole.length);
    return head.length;
  }
  assert.ok(head.length <= MAX_VALUE_BYTES);
  assert.equal(kept.length, lengthOf(came));
  assert.equal(kept.sha256, whole === undefined ? (came as { sha256: string }).sha256 : sha256(whole));
  return head.length;
}

function lengthOf(value: FieldValue): number {
  return typeof value === "string" ? Buffer.byteLength(value) : value.length;
}

Deno.test("rawFields() keeps the entry's values, in JSON that JSONB can store", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(small, small)), (pairs) => {
      const entry = { id: "1-1", fields: pairs.flat() };
      checkKept(entry, rawFields(entry));
    }),
    { numRuns: 500 },
  );
});

Deno.test("rawFields() keeps the entry's values up to its limit", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(small, long), { maxLength: 6 }), (pairs) => {
      const entry = { id: "1-1", fields: pairs.flatMap(([name, value]) => [name, written(value)]) };
      checkKept(entry, rawFields(entry));
    }),
    { numRuns: 30 },
  );
});
