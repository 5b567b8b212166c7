/** Entry ids are pairs of unsigned 64-bit numbers: compared here with BigInt. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BEFORE_ALL, compareEntryIds, isEntryId } from "./entry_ids.ts";

const LARGEST = 2n ** 64n - 1n;
const unsigned64 = fc.oneof(
  fc.bigInt({ min: 0n, max: LARGEST }),
  fc.constantFrom(0n, 1n, 9n, 10n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, LARGEST - 1n, LARGEST),
);
const entryId = fc.tuple(unsigned64, unsigned64);
const pair = fc.oneof(
  fc.tuple(entryId, entryId),
  fc.tuple(entryId, unsigned64).map(([id, sequence]) => [id, [id[0], sequence] as [bigint, bigint]] as const),
  entryId.map((id) => [id, id] as const),
);

Deno.test("compareEntryIds() orders ids as pairs of numbers", () => {
  fc.assert(fc.property(pair, ([left, right]) => {
    const expected = left[0] !== right[0] ? left[0] < right[0] : left[1] < right[1];
    const isSame = left[0] === right[0] && left[1] === right[1];
    const order = Math.sign(compareEntryIds(left.join("-"), right.join("-")));
    assert.equal(order, isSame ? 0 : expected ? -1 : 1);
    assert.equal(Math.sign(compareEntryIds(right.join("-"), left.join("-"))) + order, 0);
  }));
});

Deno.test("compareEntryIds() puts nothing before 0-0", () => {
  fc.assert(fc.property(entryId, (id) => {
    assert.ok(compareEntryIds(BEFORE_ALL, id.join("-")) <= 0);
  }));
});

Deno.test("isEntryId() accepts what Redis writes and nothing else", () => {
  fc.assert(fc.property(entryId, (id) => assert.ok(isEntryId(id.join("-")))));
  const others = [
    "",
    "0",
    "-",
    "0-",
    "-0",
    "$",
    "1-1-1",
    "01-0",
    "0-00",
    "+1-0",
    "-1-0",
    " 1-0",
    "1-0\n",
    "1.0-0",
    "１-0",
    "a-b",
  ];
  for (
    const text of [...others, `${LARGEST + 1n}-0`, `0-${LARGEST + 1n}`, "99999999999999999999-0", `${10n ** 20n}-0`]
  ) {
    assert.ok(!isEntryId(text), JSON.stringify(text));
  }
});
