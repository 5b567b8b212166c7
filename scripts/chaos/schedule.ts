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
const ROUNDS_PER_ACT = 5;

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
  let deck: Fault[] = [];
  let act: Pick<Round, "instances" | "profile"> = { instances: 1, profile: "default" };
  for (let round = 0;; round++) {
    if (deck.length === 0) {
      if (options.once && round > 0) return;
      deck = shortFirst(chance.shuffled(options.faults));
    }
    if (round % ROUNDS_PER_ACT === 0) act = drawAct(chance);
    const first = deck.shift()!;
    const isPair = options.partners.length > 0 && !first.isAlwaysAlone &&
      (options.onlyPairs || round % ROUNDS_PER_PAIR === ROUNDS_PER_PAIR - 1);
    const second = isPair ? partnerOf(first, { deck, partners: options.partners, chance }) : undefined;
    deck = deck.filter((fault) => fault !== second);
    const faults = second === undefined ? [first] : [first, second];
    const [least, most] = instancesFor(faults);
    yield {
      faults,
      instances: act.instances >= least && act.instances <= most ? act.instances : chance.whole(least, most),
      profile: faults.find(({ profile }) => profile !== undefined)?.profile ?? act.profile,
    };
  }
}

function shortFirst(faults: readonly Fault[]): Fault[] {
  return [...faults.filter(({ isLong }) => !isLong), ...faults.filter(({ isLong }) => isLong)];
}

function drawAct(chance: Chance): Pick<Round, "instances" | "profile"> {
  return { instances: chance.whole(1, 2), profile: chance.weighted<Profile>([[3, "default"], [2, "tiny"]]) };
}

/** Prefers a fault that has not been played yet. */
function partnerOf(
  first: Fault,
  { deck, partners, chance }: { deck: readonly Fault[]; partners: readonly Fault[]; chance: Chance },
): Fault | undefined {
  const waiting = deck.find((fault) => fits(fault, first));
  if (waiting !== undefined) return waiting;
  const fitting = partners.filter((fault) => fits(fault, first));
  return fitting.length === 0 ? undefined : chance.pick(fitting);
}

/** Whether two faults act on different parts and can be played on the same instances. */
export function fits(one: Fault, other: Fault): boolean {
  const [least, most] = instancesFor([one, other]);
  return one.part !== other.part && !one.isAlwaysAlone && !other.isAlwaysAlone && !(one.loses && other.loses) &&
    least <= most &&
    (one.profile ?? other.profile) === (other.profile ?? one.profile);
}

function instancesFor(faults: readonly Fault[]): readonly [least: number, most: number] {
  const ranges = faults.map(({ instances }) => instances ?? [1, 2] as const);
  return [Math.max(...ranges.map(([least]) => least)), Math.min(...ranges.map(([, most]) => most))];
}
