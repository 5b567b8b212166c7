/** Durations and relative times as people read them. */
import assert from "node:assert/strict";
import { duration, relative } from "./time_words.ts";

Deno.test("duration() uses at most two units, rounded down", () => {
  const cases = [[-5, "0 ms"], [0, "0 ms"], [340, "340 ms"], [1000, "1 s"], [12_999, "12 s"], [185_000, "3 min 5 s"], [
    3_600_000,
    "1 h",
  ], [187_200_000, "2 d 4 h"]] as const;
  for (const [milliseconds, words] of cases) assert.equal(duration(milliseconds), words);
});

Deno.test("relative() distinguishes past and future", () => {
  const now = Date.UTC(2026, 0, 1);
  assert.equal(relative(new Date(now - 999), now), "just now");
  assert.equal(relative(new Date(now - 200_000), now), "3 min ago");
  assert.equal(relative(new Date(now + 90_000_000), now), "in 1 d");
});
