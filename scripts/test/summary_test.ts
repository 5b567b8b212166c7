/** The line with the sums of several runs of `deno test`. */
import assert from "node:assert/strict";
import { summary } from "./summary.ts";

const OK = { code: 0, text: "a ... ok (1ms)\n\nok | 3 passed (2 steps) | 0 failed (5ms)\n" };

Deno.test("summary() adds up every run, with and without colours", () => {
  const coloured =
    "\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed | 2 failed (1 step) | 4 ignored \x1b[38;5;245m(1s)\x1b[0m\n";
  assert.equal(summary([OK, { code: 1, text: coloured }], 221_000), "4 passed, 2 failed, 4 ignored (3m41s)");
  assert.equal(summary([OK], 4_400), "3 passed, 0 failed (4s)");
  assert.equal(summary([OK], 60_000), "3 passed, 0 failed (1m00s)");
});

Deno.test("summary() counts a run that fails without a failed test as one failure", () => {
  assert.equal(summary([OK, { code: 1, text: "error: Type checking failed.\n" }], 1_000), "3 passed, 1 failed (1s)");
  assert.equal(summary([{ ...OK, code: 130 }], 1_000), "3 passed, 1 failed (1s)");
});

Deno.test("summary() uses the last line with counts, and returns undefined if there is none", () => {
  assert.equal(
    summary([{ code: 0, text: `ok | 9 passed | 9 failed (1s)\n${OK.text}` }], 1_000),
    "3 passed, 0 failed (1s)",
  );
  assert.equal(summary([{ code: 0, text: "Usage: deno test [OPTIONS]\n" }], 1_000), undefined);
});
