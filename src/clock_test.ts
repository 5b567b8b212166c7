/** The system's clock: a signal ends its waits, and long waits do not overflow its timer. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { after, every, systemClock } from "./clock.ts";

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

Deno.test("after() calls once, and not at all once it is cancelled", async () => {
  const calls: string[] = [];
  after(1, () => calls.push("late"));
  const cancel = after(1, () => calls.push("cancelled"));
  cancel();
  const cancelLong = after(60_000, () => calls.push("long"));
  await systemClock.sleep(20);
  cancelLong();
  assert.deepEqual(calls, ["late"]);
});

Deno.test("every() calls until it is ended, which its own call may do", async () => {
  let calls = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = every(1, () => {
    if (++calls === 3) {
      end();
      resolve();
    }
  });
  await promise;
  await systemClock.sleep(20);
  assert.equal(calls, 3);
});

Deno.test("after() and every() wait by the clock that they are given", async () => {
  const waits: number[] = [];
  let elapse = () => {};
  const clock = {
    sleep: (ms: number, signal?: AbortSignal) => {
      waits.push(ms);
      return new Promise<void>((resolve) => {
        elapse = resolve;
        signal?.addEventListener("abort", () => resolve());
      });
    },
  };
  let calls = 0;
  after(250, () => calls++, clock);
  elapse();
  await Promise.resolve();
  assert.equal(calls, 1);
  const end = every(500, () => calls++, clock);
  for (let n = 0; n < 2; n++) {
    elapse();
    await systemClock.sleep(0);
  }
  end();
  await systemClock.sleep(0);
  assert.equal(calls, 3);
  assert.deepEqual(waits, [250, 500, 500, 500]);
});
