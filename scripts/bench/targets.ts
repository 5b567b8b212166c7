// In: what a run found out. Out: each target of the project, and whether it was reached. Pure.
// A target whose figures are not there, because a part did not run, is left out.

import { median } from "./statistics.ts";
import type { Flat, Latency, Results, VariantName } from "./results.ts";
import { isService, PEERS, type Subject, TITLES } from "./subjects.ts";

export interface Target {
  readonly what: string;
  readonly wanted: string;
  readonly found: string;
  readonly isMet: boolean;
}

export function targetsOf(results: Results): Target[] {
  return [
    ...throughputTargets(results.throughput ?? []),
    ...latencyTargets(results.latency ?? []),
    ...flatnessTargets(results.flatness),
    ...memoryTargets(results.memory ?? []),
    ...featureTargets(results.features?.variants ?? []),
  ];
}

const LEAST_OF_FLOOR = 0.8;
const LEAST_OF_BEST_PEER = 2.2;
const MOST_P50_MS = 3;
const MOST_P99_MS = 10;
const LEAST_FLATNESS = 0.85;
export const MOST_MEMORY_MB = 250;
const MOST_LOG_COST = 0.1;
const MOST_TRACE_COST = 0.05;

function throughputTargets(throughput: NonNullable<Results["throughput"]>): Target[] {
  const rateOf = (subject: Subject) => median(throughput.find((row) => row.subject === subject)?.rates ?? []);
  const best = PEERS.toSorted((left, right) => (rateOf(right) || 0) - (rateOf(left) || 0))[0]!;
  const targets: Target[] = [];
  for (const { subject, rates } of throughput) {
    if (!isService(subject) || rates.length === 0) continue;
    targets.push(
      atLeast(`throughput, ${TITLES[subject]} : floor`, rateOf(subject) / rateOf("floor"), LEAST_OF_FLOOR),
      atLeast(`throughput, ${TITLES[subject]} : ${TITLES[best]}`, rateOf(subject) / rateOf(best), LEAST_OF_BEST_PEER),
    );
  }
  return targets;
}

function latencyTargets(latency: readonly Latency[]): Target[] {
  const at = (subject: Subject, rate: number) =>
    latency.find((row) => row.subject === subject && row.rate === rate)?.both;
  const hundred = at("service", 100);
  const thousand = at("service", 1000);
  if (hundred === undefined || thousand === undefined) return [];
  const targets = [
    atMost("latency at 100 a second, p50", hundred.p50, { most: MOST_P50_MS, unit: " ms" }),
    atMost("latency at 100 a second, p99", hundred.p99, { most: MOST_P99_MS, unit: " ms" }),
    atMost("latency, p50 at 1,000 a second : at 100", thousand.p50 / hundred.p50, { most: 1 }),
    atMost("latency, p99 at 1,000 a second : at 100", thousand.p99 / hundred.p99, { most: 1 }),
  ];
  const services = latency.filter(({ subject }) => subject === "service");
  for (const peer of ["graphile_worker", "pg_boss"] as const) {
    // A rate that the peer has not got through, or not even to, is one at which it is slower.
    const worst = Math.max(...services.flatMap(({ rate, both }) => {
      const other = at(peer, rate);
      return [both.p50 / (other?.p50 ?? Infinity), both.p99 / (other?.p99 ?? Infinity)];
    }));
    const found = worst.toFixed(2);
    targets.push({
      what: `latency : ${TITLES[peer]}'s, the worst of p50 and p99 at all rates`,
      wanted: "< 1",
      found,
      isMet: worst < 1,
    });
  }
  return targets;
}

function flatnessTargets(flatness: Results["flatness"]): Target[] {
  if (flatness === undefined) return [];
  const ratio = (rows: readonly Flat[], rateOf: (row: Flat) => number) => rateOf(rows.at(-1)!) / rateOf(rows[0]!);
  const live = flatness.publish.slice(0, -1);
  const both = [
    ["", (row: Flat) => median(row.rates)],
    [", under an old snapshot", (row: Flat) => median(row.underSnapshot)],
  ] as const;
  return both.flatMap(([suffix, rateOf]) => [
    atLeast(`publishing, ${live.at(-1)!.size} : ${live[0]!.size}${suffix}`, ratio(live, rateOf), LEAST_FLATNESS),
    atLeast(`publishing, with terminal routes : without${suffix}`, ratio(flatness.publish, rateOf), LEAST_FLATNESS),
    atLeast(
      `accepting, ${flatness.accept.at(-1)!.size} : few${suffix}`,
      ratio(flatness.accept, rateOf),
      LEAST_FLATNESS,
    ),
  ]);
}

function memoryTargets(memory: NonNullable<Results["memory"]>): Target[] {
  return memory
    .filter(({ when }) => when !== "idle")
    .map(({ subject, when, peakMb }) =>
      atMost(`memory, ${TITLES[subject]}, ${when}`, peakMb, { most: MOST_MEMORY_MB, unit: " MB" })
    );
}

function featureTargets(variants: readonly { name: VariantName; rates: readonly number[] }[]): Target[] {
  const rateOf = (name: VariantName) => median(variants.find((row) => row.name === name)?.rates ?? []);
  if (variants.length === 0) return [];
  return [
    atMost("logs cost", 100 * (1 - rateOf("default") / rateOf("no_logs")), { most: 100 * MOST_LOG_COST, unit: " %" }),
    atMost("traces sampled at 1 % cost", 100 * (1 - rateOf("traces_1") / rateOf("default")), {
      most: 100 * MOST_TRACE_COST,
      unit: " %",
    }),
  ];
}

function atLeast(what: string, found: number, least: number): Target {
  return { what, wanted: `≥ ${least}`, found: found.toFixed(2), isMet: found >= least };
}

function atMost(what: string, found: number, { most, unit = "" }: { most: number; unit?: string }): Target {
  const digits = unit === " MB" ? 0 : 2;
  return { what, wanted: `≤ ${most}${unit}`, found: found.toFixed(digits) + unit, isMet: found <= most };
}
