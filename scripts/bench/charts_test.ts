/** Charts: their text, the figures that they show, and that no label can break the text. */
import assert from "node:assert/strict";
import { barChart, flatnessChart, latencyChart, throughputChart } from "./charts.ts";

const EVEN = { p50: 1, p95: 2, p99: 3, max: 4 };

Deno.test("barChart() returns a Mermaid chart with bars from 0 and a line for the limit", () => {
  const bars = [{ label: "a", value: 1234.5 }, { label: "b", value: 0.126 }];
  assert.deepEqual(barChart({ title: "t", unit: "u", bars, limit: 2000 }), [[
    "xychart-beta horizontal",
    '  title "t"',
    '  x-axis ["a", "b"]',
    '  y-axis "u" 0 --> 2100',
    "  bar [1235, 0.13]",
    "  line [2000, 2000]",
  ].join("\n")]);
});

Deno.test("barChart() escapes labels and omits values that are not finite", () => {
  const bars = [{ label: 'a"]\nbar [7', value: 1 }, { label: "b", value: NaN }, { label: "c", value: Infinity }];
  const [text = ""] = barChart({ title: 'x"y', unit: "u", bars });
  assert.match(text, /^ {2}title "x'y"\n {2}x-axis \["a'\]'bar \[7"\]$/m);
  assert.match(text, /^ {2}bar \[1\]$/m);
  assert.deepEqual(barChart({ title: "t", unit: "u", bars: bars.slice(1) }), []);
});

Deno.test("throughputChart() omits a subject that was not measured", () => {
  const [text = ""] = throughputChart([
    { subject: "service", intents: 1, rates: [3, 1, 2], cpu: [] },
    { subject: "executable", intents: 1, rates: [], cpu: [], missing: "not built" },
  ]);
  assert.match(text, /x-axis \["service \(source\)"\]\n.*\n {2}bar \[2\]$/);
});

Deno.test("latencyChart() shows only the rate of the targets", () => {
  const row = { samples: 1, undelivered: 0, both: EVEN, push: EVEN, email: EVEN, rounds: [EVEN] };
  const [text = ""] = latencyChart([{ subject: "service", rate: 10, ...row }, {
    subject: "service",
    rate: 100,
    ...row,
  }]);
  assert.match(text, /x-axis \["service \(source\), p50", "service \(source\), p99"\]\n.*\n {2}bar \[1, 3\]$/);
  assert.deepEqual(latencyChart([{ subject: "service", rate: 10, ...row }]), []);
});

Deno.test("flatnessChart() shortens sizes, so that they fit beside the bars", () => {
  const publish = [{ size: "10,000 live, 5,000,000 terminal routes", rates: [1], underSnapshot: [1] }];
  const [text = ""] = flatnessChart({ publish, accept: [], retention: [] });
  assert.match(text, /"10 k live, 5 M terminal", "10 k live, 5 M terminal, old snapshot"/);
});
