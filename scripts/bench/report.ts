/** The results of a run → tables for the terminal and for docs/benchmarks.md. Pure. */
import { type Cell, paint, table } from "../demo/table.ts";
import { cpuChart, featuresChart, flatnessChart, latencyChart, memoryChart, throughputChart } from "./charts.ts";
import { CPU_HEADER, cpuCells, ms, ratio, whole, withSpread } from "./cells.ts";
import { inAll } from "./cpu.ts";
import { overviewSection } from "./overview.ts";
import { median } from "./statistics.ts";
import { type Latency, type Results, type Runs, VARIANTS } from "./results.ts";
import { LATENCY_TITLES, type Subject, TITLES } from "./subjects.ts";
import type { Section } from "./section.ts";
import { targetsOf } from "./targets.ts";

export function sectionsOf(results: Results): Section[] {
  return [
    ...overviewSection(results),
    ...throughputSections(results),
    ...latencySection(results),
    ...backlogSection(results),
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
      ...charts.map((chart) => `\`\`\`mermaid\n${chart}\n\`\`\``),
    ].filter((text) => text !== "").join("\n\n")
  ).join("\n\n");
}

function throughputSections({ throughput }: Results): Section[] {
  if (throughput === undefined) return [];
  const find = (subject: Subject) => throughput.find((row) => row.subject === subject);
  const cpuOf = (subject: Subject) => median((find(subject)?.cpu ?? []).map(inAll));
  const floor = median(find("floor")?.rates ?? []);
  const measured = throughput.filter(({ missing }) => missing === undefined);
  return [
    {
      title: "CPU time",
      note: "µs an intent, user and system; intents a second; two deliveries each; medians",
      header: ["subject", ...CPU_HEADER, ": graphile", ": floor", "a second"],
      rows: throughput.map(({ subject, rates, cpu, missing }) =>
        missing !== undefined ? [TITLES[subject], missing, "", "", "", "", "", ""] : [
          TITLES[subject],
          ...cpuCells(cpu),
          ratio(cpuOf(subject), cpuOf("graphile_worker")),
          ratio(cpuOf(subject), cpuOf("floor")),
          whole(median(rates)),
        ]
      ),
      charts: cpuChart(measured),
    },
    {
      title: "Throughput",
      note: "intents a second, two deliveries each, from the start of reading to the last delivery",
      header: ["subject", "median", "least", "most", ": floor", "intents a round"],
      rows: measured.map(({ subject, rates, intents }) => [
        TITLES[subject],
        whole(median(rates)),
        whole(Math.min(...rates)),
        whole(Math.max(...rates)),
        ratio(median(rates), floor),
        `${whole(intents)} × ${rates.length}`,
      ]),
      charts: throughputChart(measured),
    },
  ];
}

function latencySection({ latency }: Results): Section[] {
  if (latency === undefined) return [];
  return [{
    title: "Latency",
    note: "ms from XADD in until both entries are seen (push and e-mail alone, or the rounds' spread)",
    header: ["subject", "a second", "p50", "p95", "p99", "max", "intents"],
    rows: latency.map((row) => [
      LATENCY_TITLES[row.subject],
      whole(row.rate),
      latencyCell(row, "p50"),
      ms(row.both.p95),
      latencyCell(row, "p99"),
      ms(row.both.max),
      `${whole(row.samples)}${row.undelivered > 0 ? `, ${whole(row.undelivered)} not in time` : ""}`,
    ]),
    charts: latencyChart(latency),
  }];
}

function latencyCell({ both, push, email, rounds }: Latency, which: "p50" | "p99"): string {
  if (rounds.length > 1) {
    const each = rounds.map((round) => round[which]);
    return `${ms(both[which])} (${ms(Math.min(...each))}–${ms(Math.max(...each))})`;
  }
  if (push === undefined || email === undefined) return ms(both[which]);
  return `${ms(both[which])} (${ms(push[which])}, ${ms(email[which])})`;
}

function backlogSection({ backlog }: Results): Section[] {
  if (backlog === undefined) return [];
  return [{
    title: "Backlog",
    note: `µs of CPU a route, routes a second; ${
      whole(backlog[0]?.routes ?? 0)
    } that were due before the service started`,
    header: ["subject", ...CPU_HEADER, "a second"],
    rows: backlog.map(({ subject, rates, cpu }) => [TITLES[subject], ...cpuCells(cpu), withSpread(rates)]),
    charts: [],
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
        "routes a second (minimum and maximum of all rounds); this many live routes remain at the end",
        flatness.publish,
      ),
      charts: flatnessChart(flatness),
    },
    section(
      "Accepting",
      "intents a second (minimum and maximum of all rounds), without routes to publish",
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
    charts: memoryChart(memory),
  }];
}

function featureSections({ features }: Results): Section[] {
  if (features === undefined) return [];
  // Ratios are to the first row.
  const rows = (named: readonly (Runs & { readonly name: string })[]) => {
    const [base] = named;
    return named.map(({ name, rates, cpu }) => [
      name,
      ...cpuCells(cpu),
      ratio(median(cpu.map(inAll)), median(base!.cpu.map(inAll))),
      withSpread(rates),
      ratio(median(rates), median(base!.rates)),
    ]);
  };
  return [
    {
      title: "Cost of features",
      note: "µs of CPU an intent, intents a second; the collector discards what it receives",
      header: ["variant", ...CPU_HEADER, ": default", "a second", ": default"],
      rows: rows(features.variants.map((variant) => ({ ...variant, name: VARIANTS[variant.name] }))),
      charts: featuresChart(features),
    },
    {
      title: "Instances",
      note: "µs of CPU an intent, intents a second; one of them consumes, all publish",
      header: ["instances", ...CPU_HEADER, ": one", "a second", ": one"],
      rows: rows(features.instances.map((row) => ({ ...row, name: String(row.instances) }))),
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
