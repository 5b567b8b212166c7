// In: what a run found out. Out: its tables, for a terminal and for docs/benchmarks.md. Pure.

import { type Cell, paint, table } from "../demo/table.ts";
import { median } from "./statistics.ts";
import { type Results, VARIANTS } from "./results.ts";
import { TITLES } from "./subjects.ts";
import { targetsOf } from "./targets.ts";

export interface Section {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Charts that show it. */
  readonly charts: readonly string[];
}

export function sectionsOf(results: Results): Section[] {
  return [
    ...throughputSection(results),
    ...latencySection(results),
    ...flatnessSections(results),
    ...memorySection(results),
    ...featureSections(results),
    ...targetSection(results),
  ];
}

export function forTerminal(sections: readonly Section[]): string[] {
  const cell = (text: string): Cell => text === "✓" ? ["green", text] : text === "✗" ? ["red", text] : text;
  return sections.flatMap(({ title, note, header, rows }) => [
    "",
    `${paint("bold", title)}  ${paint("dim", note)}`,
    ...table(header, rows.map((row) => row.map(cell))),
  ]);
}

export function forDocumentation(sections: readonly Section[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return sections.map(({ title, note, header, rows, charts }) =>
    [
      `### ${title}`,
      note,
      [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n"),
      ...charts.map((chart) => `![${title}](benchmarks/${chart})`),
    ].filter((text) => text !== "").join("\n\n")
  ).join("\n\n");
}

function throughputSection({ throughput }: Results): Section[] {
  if (throughput === undefined) return [];
  const floor = median(throughput.find(({ subject }) => subject === "floor")?.rates ?? []);
  return [{
    title: "Throughput",
    note: "intents a second, two deliveries each, from the start of reading to the last delivery",
    header: ["subject", "median", "least", "most", "of the floor", "intents a round"],
    rows: throughput.map(({ subject, rates, intents, missing }) =>
      missing !== undefined ? [TITLES[subject], missing, "", "", "", ""] : [
        TITLES[subject],
        whole(median(rates)),
        whole(Math.min(...rates)),
        whole(Math.max(...rates)),
        (median(rates) / floor).toFixed(2),
        `${whole(intents)} × ${rates.length}`,
      ]
    ),
    charts: ["throughput.svg"],
  }];
}

function latencySection({ latency }: Results): Section[] {
  if (latency === undefined) return [];
  return [{
    title: "Latency",
    note: "milliseconds from XADD in until both entries are seen; in brackets push and e-mail alone",
    header: ["subject", "a second", "p50", "p95", "p99", "max", "intents"],
    rows: latency.map(({ subject, rate, samples, undelivered, both, push, email }) => [
      TITLES[subject],
      whole(rate),
      `${ms(both.p50)} (${ms(push.p50)}, ${ms(email.p50)})`,
      ms(both.p95),
      `${ms(both.p99)} (${ms(push.p99)}, ${ms(email.p99)})`,
      ms(both.max),
      `${whole(samples)}${undelivered > 0 ? `, ${whole(undelivered)} not in time` : ""}`,
    ]),
    charts: ["latency_p50.svg", "latency_p99.svg"],
  }];
}

function flatnessSections({ flatness }: Results): Section[] {
  if (flatness === undefined) return [];
  const section = (title: string, note: string, rows: typeof flatness.publish): Section => ({
    title,
    note,
    header: ["with", "a second", "under an old snapshot"],
    rows: rows.map(({ size, rates, underSnapshot }) => [size, withSpread(rates), withSpread(underSnapshot)]),
    charts: [],
  });
  return [
    {
      ...section(
        "Publishing",
        "routes a second (the least and the most of all rounds); so many live routes are left behind those timed",
        flatness.publish,
      ),
      charts: ["flatness.svg"],
    },
    section(
      "Accepting",
      "intents a second (the least and the most of all rounds), of a kind that leaves nothing to publish",
      flatness.accept,
    ),
    section("Retention", "records a second deleted, each with its route", flatness.retention),
  ];
}

function memorySection({ memory }: Results): Section[] {
  if (memory === undefined) return [];
  return [{
    title: "Memory",
    note: "resident, MB",
    header: ["subject", "when", "at the end", "at most"],
    rows: memory.map(({ subject, when, residentMb, peakMb }) => [
      TITLES[subject],
      when,
      whole(residentMb),
      whole(peakMb),
    ]),
    charts: ["memory.svg"],
  }];
}

function featureSections({ features }: Results): Section[] {
  if (features === undefined) return [];
  const rateOf = (name: string) => median(features.variants.find((variant) => variant.name === name)?.rates ?? []);
  const rows = (named: readonly { name: string; rates: readonly number[] }[], base: number) =>
    named.map(({ name, rates }) => [
      name,
      whole(median(rates)),
      whole(Math.min(...rates)),
      whole(Math.max(...rates)),
      (median(rates) / base).toFixed(2),
    ]);
  const header = ["median", "least", "most"];
  const variants = features.variants.map(({ name, rates }) => ({ name: VARIANTS[name], rates }));
  const instances = features.instances.map(({ instances, rates }) => ({ name: String(instances), rates }));
  return [
    {
      title: "Cost of features",
      note: "intents a second; the collector is a process that throws away what it gets",
      header: ["variant", ...header, "of the default"],
      rows: rows(variants, rateOf("default")),
      charts: ["features.svg"],
    },
    {
      title: "Instances",
      note: "intents a second; one of them consumes, all publish",
      header: ["instances", ...header, "of one"],
      rows: rows(instances, median(features.instances[0]!.rates)),
      charts: [],
    },
  ];
}

function targetSection(results: Results): Section[] {
  const targets = targetsOf(results);
  if (targets.length === 0) return [];
  return [{
    title: "Targets",
    note: results.isQuick ? "a quick run is too short to judge by" : "✗ changes nothing but this line",
    header: ["", "found", "wanted", "what"],
    rows: targets.map(({ what, wanted, found, isMet }) => [isMet ? "✓" : "✗", found, wanted, what]),
    charts: [],
  }];
}

function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";
}

/** Median, and where there are several also the least and the most. */
function withSpread(rates: readonly number[]): string {
  const spread = rates.length > 1 ? ` (${whole(Math.min(...rates))}–${whole(Math.max(...rates))})` : "";
  return whole(median(rates)) + spread;
}

function ms(value: number): string {
  if (!Number.isFinite(value)) return "∞";
  return value < 100 ? value.toFixed(1) : whole(value);
}
