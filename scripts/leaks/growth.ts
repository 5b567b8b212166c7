/**
 * Samples in the order of time → for each figure what it was early and late, and whether it grows. Pure. The first
 * quarter is warm-up; compared are the medians of the second and the last one.
 */
import { median } from "../bench/statistics.ts";
import { type Figure, FIGURES, type Sample } from "./sample.ts";

export interface Growth {
  readonly figure: Figure;
  readonly early: number;
  readonly late: number;
  /** What `late` may be at most. */
  readonly limit: number;
  readonly isGrowing: boolean;
}

/** `share` of what it was, and `amount` besides. */
export type Tolerances = Readonly<Record<Figure, { readonly share: number; readonly amount: number }>>;

const MEGABYTE = 1_000_000;

/**
 * What a figure may grow from the second quarter to the last. Something leaked in each of two hundred rounds is a
 * hundred of it there, and more than 7 kB each is more than the heap may grow.
 */
const TOLERANCES: Tolerances = {
  heap: { share: 0.01, amount: MEGABYTE / 2 },
  resident: { share: 0.1, amount: 10 * MEGABYTE },
  sockets: { share: 0, amount: 8 },
  "open files": { share: 0, amount: 8 },
  // Two connections of the pool: whether it has two or four at a quiet moment is chance, and each has 31 (seen).
  "emitter listeners": { share: 0, amount: 70 },
  "signal listeners": { share: 0, amount: 8 },
};

/**
 * @param tolerances where they are others than those for rounds
 * @throws where there are too few samples to tell
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
