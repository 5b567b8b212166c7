/** Claims begin where the last one ended, and from the beginning as often as that is cheap. */
import assert from "node:assert/strict";
import { systemClock } from "../clock.ts";
import { FROM_THE_BEGINNING } from "./claim_due.ts";
import { Scan } from "./scan.ts";

function scanAt(ms: number) {
  const time = { ms };
  return { time, scan: new Scan({ ...systemClock, monotonic: () => time.ms }) };
}

const SHORT = { from: FROM_THE_BEGINNING, isFull: false };

Deno.test("Scan goes on where the last claim ended, and starts over after a second", () => {
  const { time, scan } = scanAt(5_000);
  assert.equal(scan.begin(), FROM_THE_BEGINNING);
  scan.took(3, SHORT);
  scan.goOnFrom("2026-01-01");
  assert.equal(scan.begin(), "2026-01-01");
  scan.took(3, { from: "2026-01-01", isFull: false });
  time.ms += 999;
  assert.equal(scan.begin(), "2026-01-01");
  time.ms += 1;
  assert.equal(scan.begin(), FROM_THE_BEGINNING);
});

Deno.test("startOver() makes the next scan a full one, as after a failure", () => {
  const { scan } = scanAt(0);
  scan.begin();
  scan.took(3, SHORT);
  scan.goOnFrom("2026-01-01");
  scan.startOver();
  assert.equal(scan.begin(), FROM_THE_BEGINNING);
});

Deno.test("Scan starts over for 2 % of the time at most, every ten seconds at least, and so under a backlog", () => {
  for (
    const [durationMs, isFull, pauseMs] of [
      [1, false, 1_000],
      [100, false, 4_900],
      [3_000, false, 10_000],
      [1, true, 10_000],
    ] as const
  ) {
    const { time, scan } = scanAt(0);
    scan.begin();
    scan.took(durationMs, { from: FROM_THE_BEGINNING, isFull });
    scan.goOnFrom("2026-01-01");
    time.ms += pauseMs - 1;
    assert.equal(scan.begin(), "2026-01-01", `${durationMs} ms`);
    time.ms += 1;
    assert.equal(scan.begin(), FROM_THE_BEGINNING, `${durationMs} ms`);
  }
});
