/** The limit of a batch after batches that were too large and batches that were not. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BatchLimit } from "./batch_limit.ts";

Deno.test("halve() goes down to 1 and no further, and grow() back up to the maximum", () => {
  const limit = new BatchLimit(10);
  const values = [limit.value];
  for (let n = 0; n < 5; n++) {
    limit.halve();
    values.push(limit.value);
  }
  for (let n = 0; n < 5; n++) {
    limit.grow();
    values.push(limit.value);
  }
  assert.deepEqual(values, [10, 5, 3, 2, 1, 1, 2, 4, 8, 10, 10]);
});

Deno.test("halve() takes half of the batch that was too large if it was smaller than the limit", () => {
  const limit = new BatchLimit(100);
  limit.halve(21);
  assert.equal(limit.value, 11);
});

Deno.test("halve() does not raise a limit that has become lower since the batch began", () => {
  const limit = new BatchLimit(100);
  limit.reduceTo(10);
  limit.halve(100);
  assert.equal(limit.value, 10);
});

Deno.test("reduceTo() rounds up and does not raise the limit", () => {
  const limit = new BatchLimit(100);
  limit.reduceTo(limit.value / 32);
  assert.equal(limit.value, 4);
  limit.reduceTo(50);
  assert.equal(limit.value, 4);
  limit.reduceTo(0);
  assert.equal(limit.value, 1);
});

Deno.test("the limit is a whole number from 1 to the maximum, whatever happens, and only grow() raises it", () => {
  const step = fc.oneof(
    fc.constant(["grow"] as const),
    fc.constant(["halve"] as const),
    fc.tuple(fc.constant("halve" as const), fc.nat(2000)),
    fc.tuple(fc.constant("reduceTo" as const), fc.double({ min: -10, max: 2000, noNaN: true })),
  );
  fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(step), (max, steps) => {
    const limit = new BatchLimit(max);
    for (const [name, argument] of steps) {
      const before = limit.value;
      if (name === "grow") limit.grow();
      else if (name === "halve") limit.halve(argument);
      else limit.reduceTo(argument);
      assert.ok(Number.isInteger(limit.value) && limit.value >= 1 && limit.value <= max);
      assert.ok(name === "grow" ? limit.value >= before : limit.value <= before);
    }
  }));
});
