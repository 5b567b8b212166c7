import assert from "node:assert/strict";
import { chartsOf } from "./charts.ts";
import type { Results } from "./results.ts";

const EMPTY: Results = { at: "", machine: {}, isQuick: true, seconds: {}, problems: [] };
const CPU = { process: 3, postgres: 2, redis: 1 };
const EVEN = { p50: 1, p95: 2, p99: 3, max: 4 };

Deno.test("chartsOf() draws only what was measured", () => {
  assert.equal(chartsOf(EMPTY).size, 0);
  const throughput = [
    { subject: "service", intents: 1, rates: [3, 1, 2], cpu: [CPU] },
    { subject: "executable", intents: 1, rates: [], cpu: [], missing: "not built" },
  ] as const;
  const charts = chartsOf({ ...EMPTY, throughput });
  assert.deepEqual([...charts.keys()], ["cpu.svg", "throughput.svg"]);
  assert.ok(!charts.get("throughput.svg")!.includes("executable"));
});

Deno.test("chartsOf() lets a line end where a subject could not keep up", () => {
  const row = { samples: 1, undelivered: 0, both: EVEN, push: EVEN, email: EVEN, rounds: [EVEN] };
  const latency = [
    { subject: "service", rate: 10, ...row },
    { subject: "service", rate: 100, ...row },
    { subject: "bullmq", rate: 10, ...row },
  ] as const;
  const svg = chartsOf({ ...EMPTY, latency }).get("latency_p50.svg")!;
  assert.equal(svg.match(/<circle /g)?.length, 3);
});

Deno.test("chartsOf() shortens sizes, so that they fit beside the bars", () => {
  const flat = (size: string) => ({ size, rates: [1], underSnapshot: [1] });
  const publish = [flat("10,000 live, 5,000,000 terminal routes")];
  const svg = chartsOf({ ...EMPTY, flatness: { publish, accept: [], retention: [] } }).get("flatness.svg")!;
  assert.ok(svg.includes(">10 k live, 5 M terminal<"));
});
