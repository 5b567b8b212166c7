// In: the faults that are wanted. Out: one after another, each as often as the others; between them, two at once.
// Guaranteed: the seed alone decides the order.

import type { Chance } from "./chance.ts";
import type { Fault } from "./fault.ts";

/** After this many single faults, two at once. */
const SINGLES_PER_MIX = 4;

export interface ScheduleOptions {
  readonly singles: readonly Fault[];
  /** Those that pairs are made of; none for no pairs. */
  readonly mixable: readonly Fault[];
}

/** Never ends. */
export function* schedule({ singles, mixable }: ScheduleOptions, chance: Chance): Generator<readonly Fault[]> {
  let drawn = 0;
  for (;;) {
    for (const fault of chance.shuffled(singles)) {
      yield [fault];
      if (++drawn % SINGLES_PER_MIX === 0 && mixable.length > 0) yield pairOf(mixable, chance);
    }
    if (singles.length === 0) yield pairOf(mixable, chance);
  }
}

function pairOf(mixable: readonly Fault[], chance: Chance): readonly Fault[] {
  const first = chance.pick(mixable);
  const second = chance.pick(mixable.filter((fault) => fault.part !== first.part && fits(fault, first)));
  return [first, second];
}

/** Whether there is a number of instances and a batch size that both can have. */
export function fits(one: Fault, other: Fault): boolean {
  const [least, most] = instancesFor([one, other]);
  return least <= most && (one.profile ?? other.profile) === (other.profile ?? one.profile);
}

export function instancesFor(faults: readonly Fault[]): readonly [least: number, most: number] {
  const ranges = faults.map(({ instances }) => instances ?? [1, 2] as const);
  return [Math.max(...ranges.map(([least]) => least)), Math.min(...ranges.map(([, most]) => most))];
}
