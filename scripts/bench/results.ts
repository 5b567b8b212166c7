// What a run found out, as it stands in bench/results.json; a part that did not run is absent.

import type { PartName } from "./options.ts";
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
  readonly flatness?: Flatness;
  readonly memory?: readonly MemoryUse[];
  readonly features?: Features;
}

export interface Throughput {
  readonly subject: Subject;
  readonly intents: number;
  /** Intents a second, one a round; none where the subject could not be measured. */
  readonly rates: readonly number[];
  readonly missing?: string;
}

/** Milliseconds from the XADD of an intent until a reader has seen its outbound entries. */
export interface Latency {
  readonly subject: Subject;
  /** Intents a second. */
  readonly rate: number;
  readonly samples: number;
  /** Intents whose entries had not all come when the reader gave up; they count as infinitely late. */
  readonly undelivered: number;
  /** Until both entries are seen. */
  readonly both: Distribution;
  readonly push: Distribution;
  readonly email: Distribution;
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
  readonly instances: readonly { readonly instances: number; readonly rates: readonly number[] }[];
}

export interface Variant {
  readonly name: VariantName;
  readonly rates: readonly number[];
}

export const VARIANTS = {
  default: "default (log at info)",
  no_logs: "log at error",
  metrics: "metrics exported",
  traces_1: "traces, 1 % sampled",
  traces_100: "traces, all sampled",
} as const;
export type VariantName = keyof typeof VARIANTS;
