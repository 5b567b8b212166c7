/** Which lines the check refuses, because they use time or randomness that a test cannot set. */
import assert from "node:assert/strict";
import { checkClock } from "./check_clock.ts";

Deno.test("checkClock() finds every use of time and chance outside the clock", () => {
  const uses = [
    "const startedAt = performance.now();",
    "const now = Date.now;",
    "const text = new Date().toISOString();",
    "const date = new Date;",
    "const words = Date();",
    "let timer: ReturnType<typeof setTimeout> | undefined;",
    "clearInterval(timer);",
    "setInterval(feed, 1000);",
    'import { setTimeout as delay } from "node:timers/promises";',
    "fetch(url, { signal: AbortSignal.timeout(5000) });",
    "const chance = Math.random();",
    "const [seconds] = process.hrtime();",
    "const day = Temporal.Now.plainDateISO();",
  ].join("\n");
  const found = checkClock("src/retention/cleaner.ts", uses);
  assert.deepEqual(found.map(({ line }) => line), Array.from({ length: 13 }, (_, index) => index + 1));
  assert.equal(found[0]!.message, "performance.now outside src/clock.ts");
  assert.deepEqual(checkClock("src/clock.ts", uses), []);
  assert.deepEqual(checkClock("src/retention/cleaner_test.ts", uses), []);
});

Deno.test("checkClock() allows a Date of a known moment, and comments", () => {
  const source = `
// setTimeout fires at once above 24 days
const shown = new Date(milliseconds).toISOString(); // not Date.now()
const parsed = Date.parse(text);
const isDate = value instanceof Date;
interface Row { readonly acceptedAt: Date }
const until = clock.now() + clock.monotonic();
/** As Date.now(). */
`;
  assert.deepEqual(checkClock("src/commands/status.ts", source), []);
});
