/** The delay after the n-th failed attempt: min(max, min · 2^(n−1)), give or take a fifth, never above the maximum. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { retryDelayMs, type RetryLadder } from "./retry_ladder.ts";

const ladder: RetryLadder = { backoffMinMs: 1_000, backoffMaxMs: 300_000 };

Deno.test("retryDelayMs() doubles up to the maximum", () => {
  const steps = Array.from(
    { length: 12 },
    (_, at) => retryDelayMs(ladder, { failedAttempts: at + 1, maxAttempts: 100, random: 0.5 }),
  );
  assert.deepEqual(steps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map((seconds) => seconds * 1_000));
});

Deno.test("retryDelayMs() varies by a fifth, but never above the maximum", () => {
  const delay = (failedAttempts: number, random: number) =>
    retryDelayMs(ladder, { failedAttempts, maxAttempts: 100, random });
  assert.deepEqual([delay(1, 0), delay(1, 0.999999), delay(10, 0), delay(10, 0.999999)], [
    800,
    1_200,
    240_000,
    300_000,
  ]);
});

Deno.test("retryDelayMs() returns undefined once the attempts are used up", () => {
  for (const maxAttempts of [1, 3, 7]) {
    for (let failedAttempts = 1; failedAttempts <= maxAttempts + 2; failedAttempts++) {
      const delay = retryDelayMs(ladder, { failedAttempts, maxAttempts, random: 0.5 });
      assert.equal(delay === undefined, failedAttempts >= maxAttempts);
    }
  }
});

Deno.test("retryDelayMs() keeps to the contract's formula for any ladder", () => {
  const milliseconds = fc.integer({ min: 1, max: 2 ** 31 - 1 });
  const ladders = fc.tuple(milliseconds, milliseconds).map(([one, other]) => ({
    backoffMinMs: Math.min(one, other),
    backoffMaxMs: Math.max(one, other),
  }));
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(fc.property(ladders, fc.integer({ min: 1, max: 5_000 }), random, (ladder, failedAttempts, random) => {
    const delay = retryDelayMs(ladder, { failedAttempts, maxAttempts: Infinity, random })!;
    const step = Math.min(ladder.backoffMaxMs, ladder.backoffMinMs * 2 ** (failedAttempts - 1));
    assert.ok(Number.isInteger(delay) && delay <= ladder.backoffMaxMs);
    // Rounding may cost half a millisecond.
    assert.ok(delay >= 0.8 * step - 0.5 && delay <= 1.2 * step + 0.5, `${delay}`);
  }));
});
