/** The tables: their rows, medians and ratios, for a terminal and for the documentation. */
import assert from "node:assert/strict";
import type { Cpu } from "./cpu.ts";
import type { Results } from "./results.ts";
import { forDocumentation, forTerminal, sectionsOf } from "./report.ts";
import type { Section } from "./section.ts";

const RESULTS: Results = {
  at: "",
  machine: {},
  isQuick: true,
  seconds: {},
  problems: [],
  throughput: [
    { subject: "floor", intents: 5000, rates: [20_000], cpu: [cpuOf(100)] },
    { subject: "service", intents: 5000, rates: [16_000, 17_000, 18_000], cpu: [cpuOf(110), cpuOf(120), cpuOf(170)] },
    { subject: "executable", intents: 5000, rates: [], cpu: [], missing: "not built" },
    { subject: "graphile_worker", intents: 5000, rates: [9000], cpu: [cpuOf(200)] },
  ],
};

Deno.test("sectionsOf() shows CPU time and rates with medians and spread, and a subject that is not built", () => {
  const cpu = sectionOf("CPU time");
  assert.deepEqual(cpu.rows[1], [
    "service (source)",
    ...["60", "30", "30", "120 (110–170)", "0.60", "1.20"],
    "17,000",
  ]);
  assert.equal(cpu.rows[2]?.[1], "not built");
  const { rows } = sectionOf("Throughput");
  assert.deepEqual(rows[1], ["service (source)", "17,000", "16,000", "18,000", "0.85", "5,000 × 3"]);
  assert.equal(rows.length, 3);
});

Deno.test("sectionsOf() shows the latency of the bare hop, and the spread of several rounds", () => {
  const even = (p50: number) => ({ p50, p95: p50, p99: p50, max: p50 });
  const row = { rate: 100, samples: 1, undelivered: 0 };
  const { rows } = sectionOf("Latency", {
    latency: [
      { ...row, subject: "bare_hop", both: even(1), rounds: [even(1)] },
      { ...row, subject: "service", both: even(3), push: even(1), email: even(2), rounds: [even(3)] },
      { ...row, subject: "other", both: even(3), push: even(1), email: even(2), rounds: [even(2), even(4)] },
    ],
  });
  assert.deepEqual(rows.map(([subject, , p50]) => [subject, p50]), [
    ["bare hop", "1.0"],
    ["service (source)", "3.0 (1.0, 2.0)"],
    ["service (other checkout)", "3.0 (2.0–4.0)"],
  ]);
});

Deno.test("sectionsOf() compares the CPU time of features and of instances with that of the first row", () => {
  const features = {
    variants: [
      { name: "default", rates: [100], cpu: [cpuOf(100)] },
      { name: "metrics_10", rates: [90], cpu: [cpuOf(105)] },
    ],
    instances: [{ instances: 1, rates: [100], cpu: [cpuOf(200)] }, { instances: 2, rates: [50], cpu: [cpuOf(300)] }],
  } as const;
  assert.deepEqual(sectionOf("Cost of features", { features }).rows[1], [
    "metrics every 10 s",
    ...["53", "26", "26", "105", "1.05", "90", "0.90"],
  ]);
  assert.deepEqual(sectionOf("Instances", { features }).rows[1], ["2", "150", "75", "75", "300", "1.50", "50", "0.50"]);
});

Deno.test("sectionsOf() shows the CPU time for each route of a backlog", () => {
  const backlog = [{ subject: "service", routes: 2000, rates: [30_000], cpu: [cpuOf(60)] }] as const;
  const { rows, note } = sectionOf("Backlog", { backlog });
  assert.deepEqual(rows, [["service (source)", "30", "15", "15", "60", "30,000"]]);
  assert.match(note, /; 2,000 that were due/);
});

Deno.test("sectionsOf() contains a warning that a quick run is too short", () => {
  assert.match(sectionsOf(RESULTS).at(-1)!.note, /too short/);
  assert.ok(!/too short/.test(sectionsOf({ ...RESULTS, isQuick: false }).at(-1)!.note));
});

Deno.test("forDocumentation() returns tables and charts in Markdown", () => {
  const text = forDocumentation(sectionsOf(RESULTS));
  assert.match(text, /### CPU time\n\n.*\n\n\| subject \| process/);
  assert.match(
    text,
    /\n\n```mermaid\nxychart-beta horizontal\n {2}title "Throughput: [^`]* {2}bar \[20000, 17000, 9000\]\n```/,
  );
});

Deno.test("forTerminal() returns lines of at most 100 columns", () => {
  assert.ok(forTerminal(sectionsOf(RESULTS)).every((line) => [...line].length <= 100));
});

function sectionOf(title: string, more: Partial<Results> = {}): Section {
  const section = sectionsOf({ ...RESULTS, ...more }).find((one) => one.title === title);
  assert.ok(section !== undefined, title);
  return section;
}

/** Half of the time in the process, a quarter each in PostgreSQL and Redis. */
function cpuOf(total: number): Cpu {
  return { process: total / 2, postgres: total / 4, redis: total / 4 };
}
