/** Which targets are reached, and which are omitted because nothing was measured for them. */
import assert from "node:assert/strict";
import type { Cpu } from "./cpu.ts";
import type { Latency, Results, Variant } from "./results.ts";
import { type Target, targetsOf } from "./targets.ts";

const EMPTY: Results = { at: "", machine: {}, isQuick: false, seconds: {}, problems: [] };

Deno.test("targetsOf() returns no targets for parts that did not run", () => {
  assert.deepEqual(targetsOf(EMPTY), []);
});

Deno.test("targetsOf() compares the median CPU time of the service, graphile-worker and the floor", () => {
  const row = { intents: 1, rates: [1] };
  const targets = targetsOf({
    ...EMPTY,
    throughput: [
      { ...row, subject: "floor", cpu: [cpuOf(120), cpuOf(130), cpuOf(900)] },
      { ...row, subject: "service", cpu: [cpuOf(150)] },
      { ...row, subject: "executable", rates: [], cpu: [], missing: "not built" },
      { ...row, subject: "other", cpu: [cpuOf(1)] },
      { ...row, subject: "graphile_worker", cpu: [cpuOf(200)] },
    ],
  });
  assert.deepEqual(targets.map(({ found, isMet }) => [found, isMet]), [["0.75", true], ["1.15", false]]);
});

Deno.test("targetsOf() returns no target for a subject that was not measured", () => {
  const throughput = [{ subject: "service", intents: 1, rates: [1], cpu: [cpuOf(1)] }] as const;
  const latency = [latencyOf("service", { rate: 1000, p50: 1 }), latencyOf("other", { rate: 1000, p50: 2 })];
  assert.deepEqual(targetsOf({ ...EMPTY, throughput, latency }), []);
});

Deno.test("targetsOf() counts a rate that a peer did not finish as one at which the peer is slower", () => {
  const latency = [
    latencyOf("service", { rate: 100, p50: 2 }),
    latencyOf("service", { rate: 1000, p50: 3, p99: 30 }),
    latencyOf("graphile_worker", { rate: 100, p50: 4 }),
    latencyOf("graphile_worker", { rate: 1000, p50: Infinity }),
    latencyOf("pg_boss", { rate: 100, p50: 1 }),
    latencyOf("bullmq", { rate: 100, p50: 0.5 }),
  ];
  const targets = targetsOf({ ...EMPTY, latency });
  assert.equal(metOf(targets, /p50 : graphile-worker/), true);
  assert.equal(metOf(targets, /p50 : pg-boss/), false);
  assert.equal(metOf(targets, /p50 at 100 a second, behind BullMQ/), true);
});

Deno.test("targetsOf() compares p99 only at 1,000 and 3,000 intents a second", () => {
  const latency = (p99: number) => [
    latencyOf("service", { rate: 100, p50: 1, p99: 99 }),
    latencyOf("service", { rate: 1000, p50: 1, p99 }),
    latencyOf("pg_boss", { rate: 100, p50: 2, p99: 3 }),
    latencyOf("pg_boss", { rate: 1000, p50: 2, p99: 3 }),
  ];
  assert.equal(metOf(targetsOf({ ...EMPTY, latency: latency(3) }), /p99/), true);
  assert.equal(metOf(targetsOf({ ...EMPTY, latency: latency(3.1) }), /p99/), false);
});

Deno.test("targetsOf() compares the largest sizes with the smallest, also under an old snapshot", () => {
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

Deno.test("targetsOf() judges the peak of memory, except of an idle process", () => {
  const use = (when: string, peakMb: number) => ({ subject: "service", when, residentMb: 1, peakMb }) as const;
  const targets = targetsOf({ ...EMPTY, memory: [use("idle", 999), use("at full load", 220), use("backlog", 221)] });
  assert.deepEqual(targets.map(({ isMet }) => isMet), [true, false]);
});

Deno.test("targetsOf() judges features by CPU time, and all traces by the rate", () => {
  const variant = (name: Variant["name"], cpu: number, rate: number) => ({ name, rates: [rate], cpu: [cpuOf(cpu)] });
  const targets = targetsOf({
    ...EMPTY,
    features: {
      variants: [
        variant("default", 109, 100),
        variant("no_logs", 100, 100),
        variant("metrics_10", 113, 100),
        variant("metrics_1", 200, 100),
        variant("traces_1", 114, 100),
        variant("traces_100", 300, 60),
      ],
      instances: [],
    },
  });
  assert.deepEqual(targets.map(({ found, isMet }) => [found, isMet]), [
    ["9.00 %", true],
    ["3.67 %", false],
    ["4.59 %", true],
    ["0.60", true],
  ]);
});

function cpuOf(total: number): Cpu {
  return { process: total / 2, postgres: total / 4, redis: total / 4 };
}

function latencyOf(
  subject: Latency["subject"],
  { rate, p50, p99 = p50 }: { rate: number; p50: number; p99?: number },
): Latency {
  const both = { p50, p95: p50, p99, max: p99 };
  return { subject, rate, samples: 1, undelivered: 0, both, push: both, email: both, rounds: [both] };
}

function metOf(targets: readonly Target[], what: RegExp): boolean | undefined {
  return targets.find((target) => what.test(target.what))?.isMet;
}
