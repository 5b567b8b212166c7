/** Percentiles and medians, also of few values and of none. */
import assert from "node:assert/strict";
import { distributionOf, median, percentile } from "./statistics.ts";

Deno.test("percentile() returns the value of the nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, n) => 100 - n);
  assert.deepEqual(distributionOf(values), { p50: 50, p95: 95, p99: 99, max: 100 });
  assert.equal(percentile([7], 0.01), 7);
  assert.equal(percentile([2, 1], 0.5), 1);
  assert.equal(percentile([1, 2, Infinity], 0.99), Infinity);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

Deno.test("percentile() does not change its argument", () => {
  const values = [3, 1, 2];
  percentile(values, 0.5);
  assert.deepEqual(values, [3, 1, 2]);
});

Deno.test("median() returns the middle value, or the mean of the two middle values", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([1, 2, 4, 100]), 3);
  assert.ok(Number.isNaN(median([])));
});
