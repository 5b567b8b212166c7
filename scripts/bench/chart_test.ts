import assert from "node:assert/strict";
import { barChart, escapeText, linearTicks, lineChart, logTicks } from "./chart.ts";

Deno.test("escapeText() leaves nothing that markup is made of", () => {
  assert.equal(escapeText(`<a b="c" d='e'>&`), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
});

Deno.test("a label can't break the markup", () => {
  const nasty = `</text><script>"&'`;
  const bars = barChart({ title: nasty, unit: nasty, bars: [{ label: nasty, value: 1, note: nasty }] });
  const series = [{ name: nasty, values: [1, 2] }];
  const lines = lineChart({ title: nasty, unit: nasty, places: [nasty, "b"], xTitle: nasty, scale: "linear", series });
  for (const svg of [bars, lines]) {
    assert.ok(!svg.includes("<script"));
    assert.equal(svg.match(/<text /g)?.length, svg.match(/<\/text>/g)?.length);
  }
});

Deno.test("linearTicks() begins at 0, reaches the largest value and has few steps", () => {
  assert.deepEqual(linearTicks(100), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(linearTicks(0.7), [0, 0.2, 0.4, 0.6, 0.8]);
  for (const most of [0, 1, 3, 9.99, 17_321, 20_001, 1e7]) {
    const ticks = linearTicks(most);
    assert.equal(ticks[0], 0);
    assert.ok(ticks.at(-1)! >= most && ticks.length <= 7, String(most));
  }
});

Deno.test("logTicks() are powers of ten around the values", () => {
  assert.deepEqual(logTicks(0.5, 90), [0.1, 1, 10, 100]);
  assert.deepEqual(logTicks(10, 10), [10, 100]);
});

Deno.test("barChart() draws bars in proportion", () => {
  const svg = barChart({ title: "t", unit: "u", bars: [{ label: "a", value: 100 }, { label: "b", value: 50 }] });
  const widths = [...svg.matchAll(/width="([\d.]+)" height="26"/g)].map((match) => Number(match[1]));
  assert.equal(widths.length, 2);
  assert.equal(widths[0], 2 * widths[1]!);
});

Deno.test("barChart() draws the parts of a bar one behind the other, and names them", () => {
  const bars = [{ label: "a", value: 100, parts: [60, 30, 10] }];
  const svg = barChart({ title: "t", unit: "u", bars, parts: ["x", "y", "z"] });
  const drawn = [...svg.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)" height="26" class="c(\d)"/g)]
    .map(([, from, width, colour]) => [Number(from), Number(width), Number(colour)] as const);
  assert.deepEqual(drawn.map(([, , colour]) => colour), [0, 1, 2]);
  assert.equal(drawn[0]![1], 2 * drawn[1]![1]);
  assert.equal(drawn[1]![0], drawn[0]![0] + drawn[0]![1]);
  for (const name of ["x", "y", "z"]) assert.ok(svg.includes(`>${name}<`));
});

Deno.test("lineChart() leaves out what is not finite", () => {
  const series = [{ name: "a", values: [1, Infinity, NaN, 100] }];
  const svg = lineChart({ title: "t", unit: "u", places: ["1", "2", "3", "4"], xTitle: "x", scale: "log", series });
  assert.equal(svg.match(/<circle /g)?.length, 2);
  assert.ok(!/NaN|Infinity/.test(svg));
});
