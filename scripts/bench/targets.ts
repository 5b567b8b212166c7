/**
 * The results of a run → each target of the project, and whether it was reached. Pure. Targets whose figures were not
 * measured are omitted.
 */
import { inAll } from "./cpu.ts";
import { median } from "./statistics.ts";
import type { Flat, Latency, LatencySubject, Results, Variant, VariantName } from "./results.ts";
import { LATENCY_TITLES, type Subject, TITLES } from "./subjects.ts";

export interface Target {
  readonly what: string;
  readonly wanted: string;
  readonly found: string;
  readonly isMet: boolean;
}

export function targetsOf(results: Results): Target[] {
  return [
    ...cpuTargets(results.throughput ?? []),
    ...latencyTargets(results.latency ?? []),
    ...flatnessTargets(results.flatness),
    ...memoryTargets(results.memory ?? []),
    ...featureTargets(results.features?.variants ?? []),
  ];
}

const MAX_CPU_TO_GRAPHILE = 0.75;
const MAX_CPU_TO_FLOOR = 1.15;
const MAX_P50_BEHIND_BULLMQ_MS = 1.5;
const MIN_FLATNESS = 0.85;
export const MAX_MEMORY_MB = 220;
const MAX_LOG_COST = 10;
const MAX_METRICS_COST = 2;
const MAX_TRACE_COST = 5;
const MIN_RATE_ALL_TRACED = 0.6;

/** The peers that keep their jobs in PostgreSQL. */
const DURABLE_PEERS = ["pg_boss", "graphile_worker"] as const satisfies readonly Subject[];
/** p99 is compared at these rates, which have enough samples. */
const TAIL_RATES: readonly number[] = [1000, 3000];
/** The rate at which the service is compared with BullMQ, which is only as durable as Redis. */
const BULLMQ_RATE = 100;

const OURS = ["service", "executable"] as const satisfies readonly Subject[];

function cpuTargets(throughput: NonNullable<Results["throughput"]>): Target[] {
  const cpuOf = (subject: Subject) => median((throughput.find((row) => row.subject === subject)?.cpu ?? []).map(inAll));
  return OURS.flatMap((subject) => [
    ...atMost(`CPU an intent, ${TITLES[subject]} : graphile-worker`, cpuOf(subject) / cpuOf("graphile_worker"), {
      max: MAX_CPU_TO_GRAPHILE,
    }),
    ...atMost(`CPU an intent, ${TITLES[subject]} : floor`, cpuOf(subject) / cpuOf("floor"), { max: MAX_CPU_TO_FLOOR }),
  ]);
}

function latencyTargets(latency: readonly Latency[]): Target[] {
  const at = (subject: LatencySubject, rate: number) =>
    latency.find((row) => row.subject === subject && row.rate === rate)?.both;
  const services = latency.filter(({ subject }) => subject === "service");
  const targets: Target[] = [];
  for (const peer of DURABLE_PEERS) {
    if (!latency.some(({ subject }) => subject === peer)) continue;
    // A rate that the peer did not finish or reach counts as one at which the peer is slower.
    const worst = (which: "p50" | "p99", rows: readonly Latency[]) =>
      Math.max(...rows.map(({ rate, both }) => both[which] / (at(peer, rate)?.[which] ?? Infinity)));
    const tails = services.filter(({ rate }) => TAIL_RATES.includes(rate));
    if (services.length > 0) {
      targets.push(...atMost(`p50 : ${TITLES[peer]}'s, the worst of all rates`, worst("p50", services), { max: 1 }));
    }
    if (tails.length > 0) {
      targets.push(...atMost(`p99 : ${TITLES[peer]}'s, the worst of 1,000 and 3,000`, worst("p99", tails), { max: 1 }));
    }
  }
  const [service, bullmq] = [at("service", BULLMQ_RATE), at("bullmq", BULLMQ_RATE)];
  const behind = (service?.p50 ?? NaN) - (bullmq?.p50 ?? NaN);
  const what = `p50 at ${BULLMQ_RATE} a second, behind ${LATENCY_TITLES.bullmq}'s`;
  return [...targets, ...atMost(what, behind, { max: MAX_P50_BEHIND_BULLMQ_MS, unit: " ms" })];
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
    ...atLeast(`publishing, ${live.at(-1)!.size} : ${live[0]!.size}${suffix}`, ratio(live, rateOf), MIN_FLATNESS),
    ...atLeast(`publishing, with terminal routes : without${suffix}`, ratio(flatness.publish, rateOf), MIN_FLATNESS),
    ...atLeast(
      `accepting, ${flatness.accept.at(-1)!.size} : few${suffix}`,
      ratio(flatness.accept, rateOf),
      MIN_FLATNESS,
    ),
  ]);
}

function memoryTargets(memory: NonNullable<Results["memory"]>): Target[] {
  return memory
    .filter(({ subject, when }) => subject !== "other" && when !== "idle")
    .flatMap(({ subject, when, peakMb }) =>
      atMost(`memory, ${TITLES[subject]}, ${when}`, peakMb, { max: MAX_MEMORY_MB, unit: " MB" })
    );
}

/** Costs are compared in CPU time, because a busy machine affects it less than rates. */
function featureTargets(variants: readonly Variant[]): Target[] {
  const find = (name: VariantName) => variants.find((variant) => variant.name === name);
  const cpuOf = (name: VariantName) => median((find(name)?.cpu ?? []).map(inAll));
  const rateOf = (name: VariantName) => median(find(name)?.rates ?? []);
  const cost = (what: string, [name, base]: readonly [VariantName, VariantName], max: number) =>
    atMost(`${what}, CPU`, 100 * (cpuOf(name) / cpuOf(base) - 1), { max, unit: " %" });
  return [
    ...cost("logs cost", ["default", "no_logs"], MAX_LOG_COST),
    ...cost("metrics every 10 s cost", ["metrics_10", "default"], MAX_METRICS_COST),
    ...cost("traces sampled at 1 % cost", ["traces_1", "default"], MAX_TRACE_COST),
    ...atLeast("rate with all traces : without", rateOf("traces_100") / rateOf("default"), MIN_RATE_ALL_TRACED),
  ];
}

function atLeast(what: string, found: number, min: number): Target[] {
  if (Number.isNaN(found)) return [];
  return [{ what, wanted: `≥ ${min}`, found: found.toFixed(2), isMet: found >= min }];
}

function atMost(what: string, found: number, { max, unit = "" }: { max: number; unit?: string }): Target[] {
  if (Number.isNaN(found)) return [];
  const digits = unit === " MB" ? 0 : 2;
  return [{ what, wanted: `≤ ${max}${unit}`, found: found.toFixed(digits) + unit, isMet: found <= max }];
}
