// In: what a run found out. Out: its charts as SVG, by the name of their file; none for a part that did not run. Pure.

import { barChart, lineChart } from "./chart.ts";
import { inAll } from "./cpu.ts";
import { median } from "./statistics.ts";
import {
  type Features,
  type Flatness,
  type Latency,
  type LatencySubject,
  type Results,
  type Throughput,
  VARIANTS,
} from "./results.ts";
import { isService, LATENCY_TITLES, TITLES } from "./subjects.ts";
import { MAX_MEMORY_MB } from "./targets.ts";

export function chartsOf({ throughput, latency, flatness, memory, features }: Results): Map<string, string> {
  const charts = new Map<string, string>();
  if (throughput !== undefined) {
    charts.set("cpu.svg", cpuChart(throughput));
    charts.set("throughput.svg", throughputChart(throughput));
  }
  if (latency !== undefined) {
    charts.set("latency_p50.svg", latencyChart(latency, "p50"));
    charts.set("latency_p99.svg", latencyChart(latency, "p99"));
  }
  if (flatness !== undefined) charts.set("flatness.svg", flatnessChart(flatness));
  if (memory !== undefined) charts.set("memory.svg", memoryChart(memory));
  if (features !== undefined) charts.set("features.svg", featuresChart(features));
  return charts;
}

function cpuChart(throughput: readonly Throughput[]): string {
  return barChart({
    title: "CPU time: two deliveries for each intent",
    unit: "microseconds an intent, median of all rounds",
    parts: ["process", "PostgreSQL", "Redis"],
    bars: throughput.filter(({ cpu }) => cpu.length > 0).map(({ subject, cpu }) => ({
      label: TITLES[subject],
      value: median(cpu.map(inAll)),
      parts: [
        median(cpu.map(({ process }) => process)),
        median(cpu.map(({ postgres }) => postgres)),
        median(cpu.map(({ redis }) => redis)),
      ],
    })),
  });
}

function throughputChart(throughput: readonly Throughput[]): string {
  return barChart({
    title: "Throughput: two deliveries for each intent",
    unit: "intents a second, median of all rounds",
    bars: throughput.filter(({ rates }) => rates.length > 0).map(({ subject, rates }) => ({
      label: TITLES[subject],
      value: median(rates),
      isOurs: isService(subject),
    })),
  });
}

function latencyChart(latency: readonly Latency[], which: "p50" | "p99"): string {
  const rates = [...new Set(latency.map(({ rate }) => rate))].sort((left, right) => left - right);
  const subjects = [...new Set(latency.map(({ subject }) => subject))];
  const at = (subject: LatencySubject, rate: number) =>
    latency.find((row) => row.subject === subject && row.rate === rate);
  return lineChart({
    title: `Latency from XADD in to both entries out, ${which}`,
    unit: "milliseconds, logarithmic",
    places: rates.map((rate) => rate.toLocaleString("en")),
    xTitle: "intents a second; a line that ends could not keep up",
    scale: "log",
    series: subjects.map((subject) => ({
      name: LATENCY_TITLES[subject],
      values: rates.map((rate) => at(subject, rate)?.both[which] ?? NaN),
    })),
  });
}

function flatnessChart({ publish, accept }: Flatness): string {
  const both = (what: string, rows: typeof publish) =>
    rows.flatMap(({ size, rates, underSnapshot }) => [
      { label: `${what}${brief(size)}`, value: median(rates), isOurs: true },
      { label: "old snapshot", value: median(underSnapshot) },
    ]);
  return barChart({
    title: "Publishing and accepting with ever more rows",
    unit: "routes or intents a second, median of all rounds",
    bars: [...both("", publish), ...both("accept: ", accept)],
  });
}

/** `3,000,000 live routes` as `3 M live`. */
function brief(size: string): string {
  return size.replace(/,000,000/g, " M").replace(/,000/g, " k").replace(" routes", "");
}

function memoryChart(memory: NonNullable<Results["memory"]>): string {
  return barChart({
    title: "Resident memory, at its most",
    unit: "MB",
    bars: memory.map(({ subject, when, peakMb }) => ({
      label: `${subject === "service" ? "source" : subject}, ${brief(when).replace(" intents", "")}`,
      value: peakMb,
      isOurs: true,
    })),
    mark: { value: MAX_MEMORY_MB, label: `at most ${MAX_MEMORY_MB}` },
  });
}

function featuresChart({ variants, instances }: Features): string {
  return barChart({
    title: "What features cost, and several instances",
    unit: "intents a second, median of all rounds",
    bars: [
      ...variants.map(({ name, rates }) => ({
        label: VARIANTS[name],
        value: median(rates),
        isOurs: name === "default",
      })),
      ...instances.map(({ instances, rates }) => ({
        label: `${instances} instance${instances === 1 ? "" : "s"}`,
        value: median(rates),
      })),
    ],
  });
}
