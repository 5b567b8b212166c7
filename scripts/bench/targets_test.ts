import assert from "node:assert/strict";
import type { Latency, Results } from "./results.ts";
import { type Target, targetsOf } from "./targets.ts";

const EMPTY: Results = { at: "", machine: {}, isQuick: false, seconds: {}, problems: [] };

Deno.test("targetsOf() leaves out what did not run", () => {
  assert.deepEqual(targetsOf(EMPTY), []);
});

Deno.test("targetsOf() holds the service against the floor and the best peer, by medians", () => {
  const targets = targetsOf({
    ...EMPTY,
    throughput: [
      { subject: "floor", intents: 1, rates: [9000, 10_000, 99_000] },
      { subject: "service", intents: 1, rates: [8000] },
      { subject: "executable", intents: 1, rates: [], missing: "not built" },
      { subject: "bullmq", intents: 1, rates: [4000] },
      { subject: "pg_boss", intents: 1, rates: [] },
      { subject: "graphile_worker", intents: 1, rates: [3000] },
    ],
  });
  assert.deepEqual(targets.map(({ found, isMet }) => [found, isMet]), [["0.80", true], ["2.00", false]]);
  assert.match(targets[1]!.what, /BullMQ/);
});

Deno.test("targetsOf() takes a rate that a peer has not got through for one at which it is slower", () => {
  const latency = [
    latencyOf("service", { rate: 100, p50: 2 }),
    latencyOf("service", { rate: 1000, p50: 3 }),
    latencyOf("graphile_worker", { rate: 100, p50: 4 }),
    latencyOf("graphile_worker", { rate: 1000, p50: Infinity }),
    latencyOf("pg_boss", { rate: 100, p50: 1 }),
  ];
  const targets = targetsOf({ ...EMPTY, latency });
  assert.equal(metOf(targets, /graphile-worker/), true);
  assert.equal(metOf(targets, /pg-boss/), false);
  assert.equal(metOf(targets, /p50 at 1,000/), false);
  assert.equal(metOf(targets, /at 100 a second, p50/), true);
});

Deno.test("targetsOf() holds the largest sizes against the smallest, also under an old snapshot", () => {
  const flat = (size: string, rate: number, underSnapshot: number) => (
    { size, rates: [rate, 1, 99_999], underSnapshot: [underSnapshot] }
  );
  const targets = targetsOf({
    ...EMPTY,
    flatness: {
      publish: [flat("10", 100, 100), flat("3,000", 90, 80), flat("10 and 5,000 terminal", 50, 90)],
      accept: [flat("few", 10, 10), flat("many", 9, 8)],
      retention: [flat("many", 5, 5)],
    },
  });
  assert.deepEqual(targets.map(({ found, isMet }) => [found, isMet]), [
    ["0.90", true],
    ["0.50", false],
    ["0.90", true],
    ["0.80", false],
    ["0.90", true],
    ["0.80", false],
  ]);
});

Deno.test("targetsOf() judges memory by its peak, but not that of an idle process", () => {
  const use = (when: string, peakMb: number) => ({ subject: "service", when, residentMb: 1, peakMb }) as const;
  const targets = targetsOf({ ...EMPTY, memory: [use("idle", 999), use("at full load", 250), use("backlog", 251)] });
  assert.deepEqual(targets.map(({ isMet }) => isMet), [true, false]);
});

Deno.test("targetsOf() takes the cost of logs from the rate without, that of traces from the default", () => {
  const targets = targetsOf({
    ...EMPTY,
    features: {
      variants: [
        { name: "default", rates: [92] },
        { name: "no_logs", rates: [100] },
        { name: "traces_1", rates: [84] },
      ],
      instances: [],
    },
  });
  assert.deepEqual(targets.map(({ found, isMet }) => [found, isMet]), [["8.00 %", true], ["8.70 %", false]]);
});

function latencyOf(subject: Latency["subject"], { rate, p50 }: { rate: number; p50: number }): Latency {
  const both = { p50, p95: p50, p99: p50, max: p50 };
  return { subject, rate, samples: 1, undelivered: 0, both, push: both, email: both };
}

function metOf(targets: readonly Target[], what: RegExp): boolean | undefined {
  return targets.find((target) => what.test(target.what))?.isMet;
}
