/** The first table has a line for each subject that was measured. */
import assert from "node:assert/strict";
import { overviewSection } from "./overview.ts";
import type { Results } from "./results.ts";

const EMPTY: Results = { at: "", machine: {}, isQuick: true, seconds: {}, problems: [] };
const CPU = { process: 60, postgres: 30, redis: 10 };

Deno.test("overviewSection() returns no section if neither CPU time nor latency was measured", () => {
  assert.deepEqual(overviewSection(EMPTY), []);
});

Deno.test("overviewSection() has no column for memory if memory was not measured", () => {
  const throughput = [{ subject: "floor", intents: 1, rates: [1], cpu: [CPU] }] as const;
  const [section] = overviewSection({ ...EMPTY, throughput });
  assert.equal(section?.header.at(-1), "at 3,000/s");
  assert.deepEqual(section?.rows, [["floor", "100", "–", "1", "–", "–", "–"]]);
});

Deno.test("overviewSection() has a row for each measured subject, in the order of the tables", () => {
  const both = { p50: 2, p95: 3, p99: 4.26, max: 5 };
  const row = { samples: 1, undelivered: 0, both, rounds: [both] };
  const [section] = overviewSection({
    ...EMPTY,
    throughput: [
      { subject: "service", intents: 1, rates: [9000], cpu: [CPU] },
      { subject: "executable", intents: 1, rates: [], cpu: [], missing: "not built" },
      { subject: "graphile_worker", intents: 1, rates: [8000], cpu: [{ ...CPU, postgres: 130 }] },
    ],
    latency: [{ ...row, subject: "bare_hop", rate: 1000 }, { ...row, subject: "service", rate: 100 }],
    memory: [
      { subject: "service", when: "idle", residentMb: 90, peakMb: 95 },
      { subject: "service", when: "at full load", residentMb: 190, peakMb: 200 },
    ],
  });
  assert.deepEqual(section?.rows, [
    ["service (source)", "100", "0.50", "9,000", "2.0 / 4.3", "–", "–", "200"],
    ["graphile-worker", "200", "1.00", "8,000", "–", "–", "–", "–"],
    ["bare hop", "–", "–", "–", "–", "2.0 / 4.3", "–", "–"],
  ]);
});
