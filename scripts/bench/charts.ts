/**
 * The results of a run → charts as Mermaid text, which GitHub draws; none for a part that did not run. Pure.
 *
 * The charts have bars from 0, for finite figures only. Labels are quoted, so that they cannot break the text. The same
 * input gives the same text.
 */
import { inAll } from "./cpu.ts";
import { median } from "./statistics.ts";
import {
  type Features,
  type Flat,
  type Flatness,
  type Latency,
  type MemoryUse,
  type Throughput,
  VARIANTS,
} from "./results.ts";
import { LATENCY_TITLES, TITLES } from "./subjects.ts";
import { MAX_MEMORY_MB } from "./targets.ts";

interface Bar {
  readonly label: string;
  readonly value: number;
}

interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
  /** Shown as a line across the bars. */
  readonly limit?: number;
}

/** The rate of the targets; the table has more rates. */
const LATENCY_RATE = 100;

/** @see https://mermaid.js.org/syntax/xyChart.html */
export function barChart({ title, unit, bars, limit }: BarChart): string[] {
  const drawn = bars.filter(({ value }) => Number.isFinite(value));
  if (drawn.length === 0) return [];
  const max = Math.max(...drawn.map(({ value }) => value), limit ?? 0);
  const series = (name: string, values: readonly number[]) => `  ${name} [${values.map(number).join(", ")}]`;
  const lines = [
    "xychart-beta horizontal",
    `  title ${quoted(title)}`,
    `  x-axis [${drawn.map(({ label }) => quoted(label)).join(", ")}]`,
    `  y-axis ${quoted(unit)} 0 --> ${number(max * 1.05)}`,
    series("bar", drawn.map(({ value }) => value)),
  ];
  if (limit !== undefined) lines.push(series("line", drawn.map(() => limit)));
  return [lines.join("\n")];
}

export function cpuChart(throughput: readonly Throughput[]): string[] {
  return barChart({
    title: "CPU time: two deliveries for each intent",
    unit: "microseconds an intent, median of all rounds",
    bars: throughput.map(({ subject, cpu }) => ({ label: TITLES[subject], value: median(cpu.map(inAll)) })),
  });
}

export function throughputChart(throughput: readonly Throughput[]): string[] {
  return barChart({
    title: "Throughput: two deliveries for each intent",
    unit: "intents a second, median of all rounds",
    bars: throughput.map(({ subject, rates }) => ({ label: TITLES[subject], value: median(rates) })),
  });
}

export function latencyChart(latency: readonly Latency[]): string[] {
  return barChart({
    title: `Latency from XADD in to both entries out, at ${LATENCY_RATE} intents a second`,
    unit: "milliseconds",
    bars: latency.filter(({ rate }) => rate === LATENCY_RATE).flatMap(({ subject, both }) => [
      { label: `${LATENCY_TITLES[subject]}, p50`, value: both.p50 },
      { label: `${LATENCY_TITLES[subject]}, p99`, value: both.p99 },
    ]),
  });
}

export function flatnessChart({ publish, accept }: Flatness): string[] {
  const bars = (what: string, rows: readonly Flat[]) =>
    rows.flatMap(({ size, rates, underSnapshot }) => [
      { label: `${what}${brief(size)}`, value: median(rates) },
      { label: `${what}${brief(size)}, old snapshot`, value: median(underSnapshot) },
    ]);
  return barChart({
    title: "Publishing and accepting with ever more rows",
    unit: "routes or intents a second, median of all rounds",
    bars: [...bars("", publish), ...bars("accept: ", accept)],
  });
}

/** `3,000,000 live routes` as `3 M live`. */
function brief(size: string): string {
  return size.replace(/,000,000/g, " M").replace(/,000/g, " k").replace(" routes", "");
}

export function memoryChart(memory: readonly MemoryUse[]): string[] {
  return barChart({
    title: `Resident memory, at its most; the line is the limit of ${MAX_MEMORY_MB} MB`,
    unit: "MB",
    bars: memory.map(({ subject, when, peakMb }) => ({ label: `${TITLES[subject]}, ${brief(when)}`, value: peakMb })),
    limit: MAX_MEMORY_MB,
  });
}

export function featuresChart({ variants, instances }: Features): string[] {
  return barChart({
    title: "What features cost, and several instances",
    unit: "intents a second, median of all rounds",
    bars: [
      ...variants.map(({ name, rates }) => ({ label: VARIANTS[name], value: median(rates) })),
      ...instances.map(({ instances, rates }) => ({ label: `instances: ${instances}`, value: median(rates) })),
    ],
  });
}

function quoted(text: string): string {
  return `"${text.replace(/["\n]/g, "'")}"`;
}

function number(value: number): string {
  return String(value >= 100 ? Math.round(value) : Number(value.toFixed(2)));
}
