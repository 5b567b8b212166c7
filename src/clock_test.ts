// The system's clock, whose waits a signal ends and no length overflows.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { systemClock } from "./clock.ts";

Deno.test("sleep() ends when its signal aborts, and leaves neither timer nor listener", async () => {
  const waits = new AbortController();
  const sleep = systemClock.sleep(60_000, waits.signal);
  waits.abort();
  await sleep;
  await systemClock.sleep(60_000, waits.signal);
  await systemClock.sleep(0, new AbortController().signal);
  assert.equal(getEventListeners(waits.signal, "abort").length, 0);
});

Deno.test("sleep() of more than a timer can hold does not end at once", async () => {
  for (const ms of [2 ** 31, Infinity]) {
    const waits = new AbortController();
    let isOver = false;
    const sleep = systemClock.sleep(ms, waits.signal).then(() => isOver = true);
    await systemClock.sleep(20);
    assert.equal(isOver, false, String(ms));
    waits.abort();
    await sleep;
  }
});
