/** Pacing, backing off and ending of a loop, with a clock that only notes how long it was asked to sleep. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { captureLog } from "../../tests/support/captured_log.ts";
import type { Clock } from "../clock.ts";
import type { Dependency } from "../telemetry/outages.ts";
import { Outages } from "../telemetry/outages.ts";
import { Heartbeats } from "./heartbeats.ts";
import { OutageError } from "./outage.ts";
import { type Loop, runLoop } from "./run_loop.ts";

type Step = "again" | "idle" | Error;

/** A loop whose passes do one step each, and which aborts `stop` after the last step. */
class Rehearsal {
  readonly stop = new AbortController();
  readonly abandon = new AbortController();
  /** Set to any time after the first: a loop in the middle of a pass is then stuck. */
  readonly time = { now: 0 };
  readonly heartbeats = new Heartbeats({ stuckAfterMs: 0, now: () => this.time.now });
  readonly sleeps: number[] = [];
  readonly done: string[] = [];
  readonly defects: unknown[] = [];
  readonly loop: Loop;
  readonly #clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    random: () => 0,
    sleep: (ms, signal) => {
      assert.equal(signal, this.stop.signal);
      this.sleeps.push(ms);
      return Promise.resolve();
    },
  };

  constructor(steps: readonly Step[], changes: Partial<Loop> = {}) {
    const left = [...steps];
    this.loop = {
      name: "push_publisher",
      pass: (stop) => {
        assert.equal(stop, this.stop.signal);
        const step = left.shift();
        if (left.length === 0) this.stop.abort();
        this.done.push("pass");
        return step instanceof Error ? Promise.reject(step) : Promise.resolve(step ?? "idle");
      },
      idle: () => {
        this.done.push("idle");
        return Promise.resolve();
      },
      close: () => {
        this.done.push("close");
        return Promise.resolve();
      },
      ...changes,
    };
  }

  async run(): Promise<void> {
    const { loop, heartbeats } = this;
    const [stop, abandon, clock] = [this.stop.signal, this.abandon.signal, this.#clock];
    const onDefect = (error: unknown) => {
      this.defects.push(error);
      this.stop.abort();
    };
    await runLoop(loop, { stop, abandon, clock, outages: new Outages(clock), heartbeats, onDefect });
  }
}

const outage = (
  dependency: Dependency,
  options: { retryAfterMs?: number; progressed?: boolean; answered?: Dependency[] } = {},
) => new OutageError(dependency, "out", options);

Deno.test("runLoop() makes pass after pass, and waits when there is nothing to do", async () => {
  await using log = captureLog();
  const rehearsal = new Rehearsal(["again", "again", "idle", "again", "again"]);
  await rehearsal.run();
  assert.deepEqual(rehearsal.done, ["pass", "pass", "pass", "idle", "pass", "pass", "close"]);
  assert.deepEqual(rehearsal.sleeps, []);
  const lines = await log.lines();
  assert.deepEqual(lines.map(({ level, logger, message }) => `${level} ${logger} ${message}`), [
    "info push_publisher started",
    "info push_publisher stopped",
  ]);
});

Deno.test("runLoop() does nothing after stop aborted", async () => {
  await using log = captureLog();
  const rehearsal = new Rehearsal([]);
  rehearsal.stop.abort();
  await rehearsal.run();
  assert.deepEqual(rehearsal.done, ["close"]);
  assert.deepEqual(await log.messages(), ["info started", "info stopped"]);
});

Deno.test("runLoop() backs off from 100 ms up to the dependency's maximum", async () => {
  await using _log = captureLog();
  const longest: Record<Dependency, number> = {
    redis: 1_000,
    postgres: 1_000,
    user_service: 10_000,
    intent_stream: 5_000,
  };
  for (const [dependency, longestMs] of Object.entries(longest) as [Dependency, number][]) {
    const rehearsal = new Rehearsal([...Array.from({ length: 40 }, () => outage(dependency)), "again"]);
    await rehearsal.run();
    assert.equal(rehearsal.sleeps.length, 40);
    assert.deepEqual(rehearsal.sleeps, Array.from({ length: 40 }, (_, n) => Math.min(longestMs, 100 * 2 ** n)));
  }
});

Deno.test("runLoop() begins its back-off again after a pass that succeeded or made progress", async () => {
  await using _log = captureLog();
  const again = new Rehearsal([outage("redis"), outage("redis"), "again", outage("redis"), "again"]);
  await again.run();
  assert.deepEqual(again.sleeps, [100, 200, 100]);
  const progressed = outage("user_service", { progressed: true });
  const stalls = new Rehearsal([
    outage("user_service"),
    outage("user_service"),
    progressed,
    outage("user_service"),
    "again",
  ]);
  await stalls.run();
  assert.deepEqual(stalls.sleeps, [100, 200, 100, 200]);
});

Deno.test("runLoop() waits as long as a dependency asks for", async () => {
  await using _log = captureLog();
  const later = outage("user_service", { retryAfterMs: 45_000 });
  const sooner = outage("user_service", { retryAfterMs: 0 });
  const rehearsal = new Rehearsal([later, sooner, "again"]);
  await rehearsal.run();
  assert.deepEqual(rehearsal.sleeps, [45_000, 200]);
});

Deno.test("runLoop() reports an outage once, and its end once", async () => {
  await using log = captureLog();
  await new Rehearsal([outage("postgres"), outage("postgres"), "again", "again"]).run();
  assert.deepEqual(await log.messages(), [
    "info started",
    "warn dependency is unavailable",
    "info dependency is available again",
    "info stopped",
  ]);
});

Deno.test("runLoop() reports the end of an outage when another outage proves it", async () => {
  await using log = captureLog();
  const answered: Dependency[] = ["redis"];
  await new Rehearsal([outage("redis"), outage("user_service", { answered }), outage("user_service"), "again"]).run();
  const reported = (await log.lines()).flatMap(({ message, dependency }) =>
    dependency ? [`${dependency}: ${message}`] : []
  );
  assert.deepEqual(reported, [
    "redis: dependency is unavailable",
    "redis: dependency is available again",
    "user_service: dependency is unavailable",
    "user_service: dependency is available again",
  ]);
});

Deno.test("runLoop() reports a defect, closes and ends", async () => {
  await using log = captureLog();
  const defect = new TypeError("x is not a function");
  const inPass = new Rehearsal(["again", defect, "again"]);
  const inIdle = new Rehearsal(["idle", "again"], { idle: () => Promise.reject(defect) });
  const thrown = new Rehearsal([], {
    pass: () => {
      throw defect;
    },
  });
  for (const rehearsal of [inPass, inIdle, thrown]) {
    await rehearsal.run();
    assert.deepEqual(rehearsal.defects, [defect]);
    assert.equal(rehearsal.done.at(-1), "close");
  }
  assert.deepEqual(inPass.done, ["pass", "pass", "close"]);
  assert.deepEqual((await log.messages()).slice(0, 3), ["info started", "error unexpected error", "info stopped"]);
});

Deno.test("runLoop() also handles an outage while it waits", async () => {
  await using _log = captureLog();
  let failures = 2;
  const rehearsal: Rehearsal = new Rehearsal(["idle", "idle", "idle", "again"], {
    idle: () => failures-- > 0 ? Promise.reject(outage("redis")) : Promise.resolve(),
  });
  await rehearsal.run();
  assert.deepEqual(rehearsal.sleeps, [100, 100]);
});

Deno.test("runLoop() finishes the current pass when stop aborts", async () => {
  await using log = captureLog();
  const released = Promise.withResolvers<"again">();
  const rehearsal = new Rehearsal([], { pass: () => released.promise });
  const running = rehearsal.run();
  rehearsal.stop.abort();
  await Promise.resolve();
  rehearsal.time.now = 1;
  assert.deepEqual([rehearsal.done, rehearsal.heartbeats.stuckLoop()], [[], "push_publisher"]);
  released.resolve("again");
  await running;
  assert.deepEqual([rehearsal.done, rehearsal.heartbeats.stuckLoop()], [["close"], undefined]);
  assert.deepEqual(await log.messages(), ["info started", "info stopped"]);
});

Deno.test("runLoop() gives the current pass up when abandon aborts", async () => {
  await using log = captureLog();
  const late = Promise.withResolvers<"again">();
  const rehearsal = new Rehearsal([], { pass: () => late.promise, close: () => new Promise(() => {}) });
  const running = rehearsal.run();
  rehearsal.stop.abort();
  rehearsal.abandon.abort();
  await running;
  assert.deepEqual(await log.messages(), ["info started", "warn the current batch was abandoned", "info stopped"]);
  // The result of the abandoned pass is ignored.
  late.reject(new Error("too late"));
  await new Promise((resolve) => setTimeout(resolve, 1));
});

Deno.test("runLoop() doesn't try again after an outage once stop aborted", async () => {
  await using log = captureLog();
  const rehearsal = new Rehearsal([outage("redis")]);
  await rehearsal.run();
  assert.deepEqual([rehearsal.sleeps, rehearsal.done], [[], ["pass", "close"]]);
  assert.deepEqual(await log.messages(), ["info started", "warn the current batch was abandoned", "info stopped"]);
});

Deno.test("runLoop() leaves no listener behind", async () => {
  await using _log = captureLog();
  const rehearsal = new Rehearsal(["again", "idle", outage("redis"), "again"]);
  await rehearsal.run();
  for (const { signal } of [rehearsal.stop, rehearsal.abandon]) {
    assert.equal(getEventListeners(signal, "abort").length, 0);
  }
});
