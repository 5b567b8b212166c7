/**
 * The selected faults → rounds, without end or until each fault was played: which fault or pair of faults, on how many
 * instances, with which batch sizes.
 *
 * The order depends only on the seed. Every fault is played once before any fault is played again, short ones first.
 * The number of instances and the batch sizes change only every few rounds, unless a fault needs others.
 */
import type { Chance } from "./chance.ts";
import type { Fault } from "./fault.ts";
import type { Profile } from "./fleet.ts";

/** One round in this many is a pair of faults. */
const ROUNDS_PER_PAIR = 3;
const ROUNDS_PER_FLEET = 5;

export interface ScheduleOptions {
  /** The faults to play. */
  readonly faults: readonly Fault[];
  /** The second fault of a pair is drawn from these if no waiting fault fits. Empty: no pairs. */
  readonly partners: readonly Fault[];
  readonly onlyPairs?: boolean;
  /** Stop when every fault was played. */
  readonly once?: boolean;
}

export interface Round {
  readonly faults: readonly Fault[];
  readonly instances: number;
  readonly profile: Profile;
}

export function* schedule(options: ScheduleOptions, chance: Chance): Generator<Round> {
  let unplayed: Fault[] = [];
  let fleet: Pick<Round, "instances" | "profile"> = { instances: 1, profile: "default" };
  for (let round = 0;; round++) {
    if (unplayed.length === 0) {
      if (options.once && round > 0) return;
      unplayed = shortFirst(chance.shuffled(options.faults));
    }
    if (round % ROUNDS_PER_FLEET === 0) fleet = drawFleet(chance);
    const first = unplayed.shift()!;
    const isPair = options.partners.length > 0 && !first.isAlwaysAlone &&
      (options.onlyPairs || round % ROUNDS_PER_PAIR === ROUNDS_PER_PAIR - 1);
    const second = isPair ? partnerOf(first, { unplayed, partners: options.partners, chance }) : undefined;
    unplayed = unplayed.filter((fault) => fault !== second);
    const faults = second === undefined ? [first] : [first, second];
    const [min, max] = instancesFor(faults);
    yield {
      faults,
      instances: fleet.instances >= min && fleet.instances <= max ? fleet.instances : chance.whole(min, max),
      profile: faults.find(({ profile }) => profile !== undefined)?.profile ?? fleet.profile,
    };
  }
}

function shortFirst(faults: readonly Fault[]): Fault[] {
  return [...faults.filter(({ isLong }) => !isLong), ...faults.filter(({ isLong }) => isLong)];
}

function drawFleet(chance: Chance): Pick<Round, "instances" | "profile"> {
  return { instances: chance.whole(1, 2), profile: chance.weighted<Profile>([[3, "default"], [2, "tiny"]]) };
}

/** Prefers a fault that has not been played yet. */
function partnerOf(
  first: Fault,
  { unplayed, partners, chance }: { unplayed: readonly Fault[]; partners: readonly Fault[]; chance: Chance },
): Fault | undefined {
  const waiting = unplayed.find((fault) => fits(fault, first));
  if (waiting !== undefined) return waiting;
  const fitting = partners.filter((fault) => fits(fault, first));
  return fitting.length === 0 ? undefined : chance.pick(fitting);
}

/** Whether two faults act on different parts and can be played on the same instances. */
export function fits(one: Fault, other: Fault): boolean {
  const [min, max] = instancesFor([one, other]);
  return one.part !== other.part && !one.isAlwaysAlone && !other.isAlwaysAlone && !(one.loses && other.loses) &&
    min <= max &&
    (one.profile ?? other.profile) === (other.profile ?? one.profile);
}

function instancesFor(faults: readonly Fault[]): readonly [min: number, max: number] {
  const ranges = faults.map(({ instances }) => instances ?? [1, 2] as const);
  return [Math.max(...ranges.map(([min]) => min)), Math.min(...ranges.map(([, max]) => max))];
}
