import assert from "node:assert/strict";
import type { Results } from "./results.ts";
import { forDocumentation, forTerminal, sectionsOf } from "./report.ts";

const RESULTS: Results = {
  at: "",
  machine: {},
  isQuick: true,
  seconds: {},
  problems: [],
  throughput: [
    { subject: "floor", intents: 5000, rates: [20_000] },
    { subject: "service", intents: 5000, rates: [16_000, 17_000, 18_000] },
    { subject: "executable", intents: 5000, rates: [], missing: "not built" },
  ],
};

Deno.test("sectionsOf() shows medians, spread and what is not built", () => {
  const [throughput] = sectionsOf(RESULTS);
  assert.deepEqual(throughput?.rows[1], ["service (source)", "17,000", "16,000", "18,000", "0.85", "5,000 × 3"]);
  assert.equal(throughput?.rows[2]?.[1], "not built");
});

Deno.test("sectionsOf() says that a quick run is not to be judged by", () => {
  assert.match(sectionsOf(RESULTS).at(-1)!.note, /too short/);
  assert.ok(!/too short/.test(sectionsOf({ ...RESULTS, isQuick: false }).at(-1)!.note));
});

Deno.test("forDocumentation() makes tables and shows charts", () => {
  const text = forDocumentation(sectionsOf(RESULTS));
  assert.match(text, /^### Throughput\n\n.*\n\n\| subject \| median/);
  assert.match(text, /!\[Throughput\]\(benchmarks\/throughput\.svg\)/);
});

Deno.test("forTerminal() keeps to a hundred columns", () => {
  assert.ok(forTerminal(sectionsOf(RESULTS)).every((line) => [...line].length <= 100));
});
