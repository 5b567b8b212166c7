/**
 * A step of the start-up resolves with the result of its check, or rejects with one of two errors, within its bound.
 */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { startStep, StartUpFailed, StoppedWhileStarting } from "./start_up.ts";

const never = new AbortController().signal;
const forever = () => new Promise<never>(() => {});

Deno.test("startStep() resolves with the result of the check, and leaves nothing behind", async () => {
  const { signal } = new AbortController();
  assert.equal(await startStep("redis", () => Promise.resolve(7), { boundMs: 60_000, stop: signal }), 7);
  assert.equal(await startStep("migrations", () => Promise.resolve(8), { boundMs: Infinity, stop: signal }), 8);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

Deno.test("startStep() names the dependency whose check failed, and keeps the cause", async () => {
  const cause = new Error("connection refused");
  for (
    const check of [() => Promise.reject(cause), (): Promise<never> => {
      throw cause;
    }]
  ) {
    const error = await startStep("redis", check, { boundMs: 1_000, stop: never }).catch((error) => error);
    assert.ok(error instanceof StartUpFailed);
    assert.deepEqual([error.dependency, error.message, error.cause], ["redis", "connection refused", cause]);
  }
  await assert.rejects(
    startStep("x", () => Promise.reject("text"), { boundMs: 1_000, stop: never }),
    /^StartUpFailed: text$/,
  );
});

Deno.test("startStep() passes on a StartUpFailed of the check", async () => {
  const own = new StartUpFailed("ownership", "Table records belongs to another role");
  const error = await startStep("postgres", () => Promise.reject(own), { boundMs: 1_000, stop: never }).catch((error) =>
    error
  );
  assert.equal(error, own);
});

Deno.test("startStep() doesn't wait longer than its bound", async () => {
  const startedAt = performance.now();
  const error = await startStep("postgres", forever, { boundMs: 30, stop: never }).catch((error) => error);
  assert.ok(performance.now() - startedAt < 2_000);
  assert.ok(error instanceof StartUpFailed);
  assert.deepEqual([error.dependency, error.message], ["postgres", "No answer within 30 ms"]);
});

Deno.test("startStep() forgets a check that fails after its bound", async () => {
  const late = Promise.withResolvers<never>();
  await assert.rejects(startStep("postgres", () => late.promise, { boundMs: 1, stop: never }), StartUpFailed);
  late.reject(new Error("too late"));
  await new Promise((resolve) => setTimeout(resolve, 1));
});

Deno.test("startStep() ends at once when the shutdown begins", async () => {
  const stop = new AbortController();
  const step = startStep("redis", forever, { boundMs: 60_000, stop: stop.signal });
  stop.abort();
  await assert.rejects(step, StoppedWhileStarting);
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
});

Deno.test("startStep() doesn't begin once the shutdown has", async () => {
  let asked = 0;
  const check = () => Promise.resolve(++asked);
  await assert.rejects(startStep("redis", check, { boundMs: 60_000, stop: AbortSignal.abort() }), StoppedWhileStarting);
  assert.equal(asked, 0);
});
