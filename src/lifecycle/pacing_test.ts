/** The pause after work; setting the system's clock does not lengthen it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { pauseAfterMs } from "./pacing.ts";

Deno.test("pauseAfterMs() returns pauses that leave the work 2 % of the time", () => {
  assert.equal(pauseAfterMs(300), 14_700);
  assert.equal(pauseAfterMs(0), 0);
});

Deno.test("pauseAfterMs() takes another share, a shortest and a longest pause", () => {
  assert.equal(pauseAfterMs(300, { share: 0.5 }), 300);
  assert.equal(pauseAfterMs(300, { share: 1 }), 0);
  assert.equal(pauseAfterMs(1, { minMs: 1000 }), 1000);
  assert.equal(pauseAfterMs(300, { minMs: 1000, maxMs: 10_000 }), 10_000);
});

Deno.test("pauseAfterMs() never lets the work take more than its share, unless the longest pause is shorter", () => {
  const share = fc.double({ min: 0.001, max: 1, noNaN: true });
  fc.assert(fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), share, (workMs, share) => {
    const pauseMs = pauseAfterMs(workMs, { share });
    assert.ok(workMs <= share * (workMs + pauseMs) * (1 + 1e-9));
    assert.ok(pauseAfterMs(workMs, { share, maxMs: 10 }) <= 10);
  }));
});
