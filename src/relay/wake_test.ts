/** No ring is missed, and a wait always ends and leaves nothing behind. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { Wake } from "./wake.ts";

const never = new AbortController().signal;

/** Whether the promise settles before the event loop has nothing else to do. */
async function isOver(promise: Promise<void>): Promise<boolean> {
  let over = false;
  promise.then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 1));
  return over;
}

Deno.test("wait() ends at a ring", async () => {
  const wake = new Wake();
  const waiting = wake.wait(60_000, never);
  assert.equal(await isOver(waiting), false);
  wake.ring();
  await waiting;
});

Deno.test("wait() ends at once if it was rung before, only once for any number of rings", async () => {
  const wake = new Wake();
  wake.ring();
  wake.ring();
  await wake.wait(60_000, never);
  const next = wake.wait(60_000, never);
  assert.equal(await isOver(next), false);
  wake.ring();
  await next;
});

Deno.test("wait() ends when its time is over", async () => {
  const startedAt = performance.now();
  await new Wake().wait(20, never);
  assert.ok(performance.now() - startedAt >= 15);
  await new Wake().wait(0, never);
});

Deno.test("wait() ends when it is aborted, also before it began", async () => {
  const stop = new AbortController();
  const wake = new Wake();
  const waiting = wake.wait(60_000, stop.signal);
  stop.abort();
  await waiting;
  await wake.wait(60_000, stop.signal);
});

Deno.test("wait() leaves no listener behind", async () => {
  const { signal } = new AbortController();
  const wake = new Wake();
  for (let round = 0; round < 20; round++) {
    const waiting = wake.wait(round % 2, signal);
    if (round % 3 === 0) wake.ring();
    await waiting;
  }
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

Deno.test("ring() is not missed while the woken loop works", async () => {
  const wake = new Wake();
  let todo = 0;
  let done = 0;
  const worker = async () => {
    while (done < 200) {
      await wake.wait(5_000, never);
      await Promise.resolve();
      const found = todo;
      todo = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
      done += found;
    }
  };
  const working = worker();
  for (let n = 0; n < 200; n++) {
    todo++;
    wake.ring();
    if (n % 7 === 0) await new Promise((resolve) => setTimeout(resolve, n % 3));
  }
  await working;
  assert.deepEqual([done, todo], [200, 0]);
});
