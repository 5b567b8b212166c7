/** The type of the results of a run, as in bench/results.json; a part that did not run is absent. */
import type { PartName } from "./options.ts";
import type { Cpu } from "./cpu.ts";
import type { Distribution } from "./statistics.ts";
import type { Subject } from "./subjects.ts";

export interface Results {
  readonly at: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  /** The duration of each part. */
  readonly seconds: Readonly<Partial<Record<PartName, number>>>;
  readonly problems: readonly string[];
  readonly throughput?: readonly Throughput[];
  readonly latency?: readonly Latency[];
  readonly backlog?: readonly Backlog[];
  readonly flatness?: Flatness;
  readonly memory?: readonly MemoryUse[];
  readonly features?: Features;
}

/** Without rounds if the subject could not be measured; `missing` is the reason. */
export interface Throughput extends Runs {
  readonly subject: Subject;
  readonly intents: number;
  readonly missing?: string;
}

/** The bare hop is one XADD to one blocked XREAD, without a service in between. */
export type LatencySubject = Subject | "bare_hop";

/** Milliseconds from the XADD of an intent until a reader has read its outbound entries. */
export interface Latency {
  readonly subject: LatencySubject;
  /** Intents per second. */
  readonly rate: number;
  readonly samples: number;
  /** Intents whose entries had not all arrived when the reader gave up; their latency counts as infinite. */
  readonly undelivered: number;
  /** Until both entries are read; for the bare hop, its only entry. */
  readonly both: Distribution;
  readonly push?: Distribution;
  readonly email?: Distribution;
  /** `both` of each round; the figures above combine all rounds. */
  readonly rounds: readonly Distribution[];
}

export interface Backlog extends Runs {
  readonly subject: Subject;
  /** The number of measured routes. */
  readonly routes: number;
}

export interface Flatness {
  readonly publish: readonly Flat[];
  readonly accept: readonly Flat[];
  readonly retention: readonly Flat[];
}

/** Rates at one size. */
export interface Flat {
  readonly size: string;
  /** Rows per second, one figure for each round. */
  readonly rates: readonly number[];
  /** The same while a transaction holds an old snapshot. */
  readonly underSnapshot: readonly number[];
}

export interface MemoryUse {
  readonly subject: Subject;
  readonly when: string;
  /** Megabytes (10⁶ bytes) at the end, and the peak. */
  readonly residentMb: number;
  readonly peakMb: number;
}

export interface Features {
  readonly variants: readonly Variant[];
  readonly instances: readonly ({ readonly instances: number } & Runs)[];
}

export interface Variant extends Runs {
  readonly name: VariantName;
}

/** One figure for each round. */
export interface Runs {
  /** Rows per second: intents, or routes in the backlog part. */
  readonly rates: readonly number[];
  /** CPU time for each row, in microseconds. */
  readonly cpu: readonly Cpu[];
}

export const VARIANTS = {
  default: "default (log at info)",
  no_logs: "log at error",
  metrics_10: "metrics every 10 s",
  metrics_1: "metrics every second",
  traces_1: "traces, 1 % sampled",
  traces_100: "traces, all sampled",
} as const;
export type VariantName = keyof typeof VARIANTS;
