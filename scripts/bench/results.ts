/** What a run found out, as it stands in bench/results.json; a part that did not run is absent. */
import type { PartName } from "./options.ts";
import type { Cpu } from "./cpu.ts";
import type { Distribution } from "./statistics.ts";
import type { Subject } from "./subjects.ts";

export interface Results {
  readonly at: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  /** What each part took. */
  readonly seconds: Readonly<Partial<Record<PartName, number>>>;
  readonly problems: readonly string[];
  readonly throughput?: readonly Throughput[];
  readonly latency?: readonly Latency[];
  readonly backlog?: readonly Backlog[];
  readonly flatness?: Flatness;
  readonly memory?: readonly MemoryUse[];
  readonly features?: Features;
}

/** Without rounds where the subject could not be measured. */
export interface Throughput extends Runs {
  readonly subject: Subject;
  readonly intents: number;
  readonly missing?: string;
}

/** The bare hop is one XADD to one blocked XREAD, with nothing between them. */
export type LatencySubject = Subject | "bare_hop";

/** Milliseconds from the XADD of an intent until a reader has seen its outbound entries. */
export interface Latency {
  readonly subject: LatencySubject;
  /** Intents a second. */
  readonly rate: number;
  readonly samples: number;
  /** Intents whose entries had not all come when the reader gave up; they count as infinitely late. */
  readonly undelivered: number;
  /** Until both entries are seen; of the bare hop, its one. */
  readonly both: Distribution;
  readonly push?: Distribution;
  readonly email?: Distribution;
  /** `both` of each round; above are all rounds' samples together. */
  readonly rounds: readonly Distribution[];
}

export interface Backlog extends Runs {
  readonly subject: Subject;
  /** How many were timed. */
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
  /** Rows a second, one a round. */
  readonly rates: readonly number[];
  /** The same while a transaction holds an old snapshot. */
  readonly underSnapshot: readonly number[];
}

export interface MemoryUse {
  readonly subject: Subject;
  readonly when: string;
  /** Megabytes (10⁶ bytes) at the end, and the most there ever was. */
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

/** One figure a round. */
export interface Runs {
  /** Rows a second: intents, or routes where nothing is accepted. */
  readonly rates: readonly number[];
  /** CPU time for one of these rows, in microseconds. */
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
