/**
 * Samples in the order of time → for each figure, its early and late value and whether it grows. Pure. The first
 * quarter of the samples is warm-up; the values are the medians of the second and the last quarter.
 */
import { median } from "../bench/statistics.ts";
import { type Figure, FIGURES, type Sample } from "./sample.ts";

export interface Growth {
  readonly figure: Figure;
  readonly early: number;
  readonly late: number;
  /** The maximum of `late`. */
  readonly limit: number;
  readonly isGrowing: boolean;
}

/** A figure may grow by `share` of its early value plus `amount`. */
export type Tolerances = Readonly<Record<Figure, { readonly share: number; readonly amount: number }>>;

const MEGABYTE = 1_000_000;

/**
 * The allowed growth from the second quarter to the last. In 200 rounds, these are about 100 rounds apart: an object
 * that leaks in each round is counted 100 times, and a leak of more than 7 kB a round exceeds the limit of the heap.
 */
const TOLERANCES: Tolerances = {
  heap: { share: 0.01, amount: MEGABYTE / 2 },
  resident: { share: 0.1, amount: 10 * MEGABYTE },
  sockets: { share: 0, amount: 8 },
  "open files": { share: 0, amount: 8 },
  // The listeners of two connections: the pool has two to four connections at random, with 31 listeners each
  // (measured).
  "emitter listeners": { share: 0, amount: 70 },
  "signal listeners": { share: 0, amount: 8 },
};

/**
 * @param tolerances tolerances that differ from those for rounds
 * @throws Error if there are fewer than 12 samples
 */
export function growthOf(samples: readonly Sample[], tolerances: Partial<Tolerances> = {}): Growth[] {
  const quarter = Math.floor(samples.length / 4);
  if (quarter < 3) throw new Error(`${samples.length} samples are too few: 12 are needed`);
  const second = samples.slice(quarter, 2 * quarter);
  const last = samples.slice(-quarter);
  return FIGURES.map((figure) => {
    const [early, late] = [second, last].map((part) => median(part.map((sample) => sample[figure])));
    const { share, amount } = tolerances[figure] ?? TOLERANCES[figure];
    const limit = early! * (1 + share) + amount;
    return { figure, early: early!, late: late!, limit, isGrowing: late! > limit };
  });
}
