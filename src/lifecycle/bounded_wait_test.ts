/**
 * A wait ends with the value or with its bound, and leaves nothing behind (the sanitizers of `deno task ok` find
 * timers).
 */
import assert from "node:assert/strict";
import { systemClock } from "../clock.ts";
import { within, withinOrThrow } from "./bounded_wait.ts";

const forever = () => new Promise<never>(() => {});
const late = () => new Error("it took too long");

Deno.test("within() resolves with the value, and leaves no timer", async () => {
  assert.equal(await within(60_000, Promise.resolve(1)), 1);
  assert.equal(await within(Infinity, Promise.resolve(2)), 2);
});

Deno.test("within() resolves with undefined if the promise is late or rejects", async () => {
  assert.equal(await within(1, forever()), undefined);
  assert.equal(await within(60_000, Promise.reject(new Error("no"))), undefined);
});

Deno.test("withinOrThrow() resolves with the value, and leaves no timer", async () => {
  assert.equal(await withinOrThrow(60_000, Promise.resolve(1), late), 1);
});

Deno.test("withinOrThrow() rejects with its own error if the promise is late, otherwise with the promise's", async () => {
  await assert.rejects(withinOrThrow(1, forever(), late), /it took too long/);
  await assert.rejects(withinOrThrow(60_000, Promise.reject(new Error("no")), late), /^Error: no$/);
});

Deno.test("what a late promise does afterwards is ignored", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  assert.equal(await within(1, promise), undefined);
  await assert.rejects(withinOrThrow(1, promise, late), /it took too long/);
  reject(new Error("much too late"));
  await systemClock.sleep(1);
});

Deno.test("within() asks the clock for the time it waits, and ends that wait when the value comes", async () => {
  const asked: { ms: number; signal: AbortSignal | undefined }[] = [];
  const clock = {
    sleep(ms: number, signal?: AbortSignal) {
      asked.push({ ms, signal });
      return forever();
    },
  };
  assert.equal(await within(250, Promise.resolve("value"), clock), "value");
  assert.deepEqual(asked.map(({ ms, signal }) => [ms, signal?.aborted]), [[250, true]]);
});
