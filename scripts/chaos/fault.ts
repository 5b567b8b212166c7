/**
 * The interface of a fault: `inject` makes something fail for some time, and the failure is over when `inject`
 * resolves.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "./chance.ts";
import type { Fleet, Profile } from "./fleet.ts";
import type { IntentMix } from "./intent_mix.ts";
import type { Breach, LossWindow, RefusalWindow } from "./facts.ts";
import type { Producer } from "./producer.ts";
import type { Setting } from "./setting.ts";

/** The dependencies, with the names that the service uses in its log. */
type Dependency = "redis" | "postgres" | "user_service" | "intent_stream";

export interface Scene {
  readonly setting: Setting;
  readonly fleet: Fleet;
  readonly producer: Producer;
  readonly mix: IntentMix;
  /** Random numbers for this injection only. */
  readonly chance: Chance;
  /** No other fault is active, so the service has to keep its time limits. */
  readonly isAlone: boolean;
}

export interface Injection {
  /** How often the fault was injected and had an effect. */
  readonly times: number;
  /** Breaches that neither the tables nor the streams show. */
  readonly breaches?: readonly Breach[];
  readonly refusals?: readonly RefusalWindow[];
  readonly losses?: readonly LossWindow[];
  /** For a fault that loses data: when the store was usable again. */
  readonly returnedAtMs?: number;
  /** Details for the report. */
  readonly note?: string;
}

export interface Fault {
  readonly name: string;
  /** A short description for `--list`. */
  readonly summary: string;
  /** The part of the system that the fault acts on. Two faults of a pair never have the same part. */
  readonly part: "instances" | "redis" | "postgres" | "users";
  /**
   * The dependency that an instance has to report as unavailable. If no instance does, the fault had no effect and is
   * not counted.
   */
  readonly outage?: Dependency;
  /** The minimum and maximum number of instances; one or two by default. */
  readonly instances?: readonly [min: number, max: number];
  /** The batch sizes that the fault needs; random by default. */
  readonly profile?: Profile;
  /** Environment variables of the instances during this fault. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * The longest recovery after an outage of this length, if no other fault was active; otherwise the common limit
   * applies.
   */
  readonly recoversWithin?: (outageSeconds: number) => number;
  /** The fault is never part of a pair, because the cause of a breach could not be determined. */
  readonly isAlwaysAlone?: true;
  /** The fault takes about 15 seconds, so the others are played first. */
  readonly isLong?: true;
  /**
   * The store comes back without some acknowledged writes. Two such faults are never a pair: both stores could lose the
   * same data.
   */
  readonly loses?: true;
  /** Finished records may be deleted before they are judged. */
  readonly finishedMayBeDeleted?: true;
  readonly inject: (scene: Scene) => Promise<Injection>;
}

export function pause(seconds: number): Promise<void> {
  return sleep(seconds * 1000);
}

/**
 * Calls `act` repeatedly for `seconds`, with random pauses (in seconds) between the calls. Returns the number of calls.
 */
export async function repeatFor(
  chance: Chance,
  { seconds, pauses: [min, max] }: { seconds: number; pauses: readonly [number, number] },
  act: () => unknown,
): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let times = 0;
  while (performance.now() < end) {
    await pause(chance.between(min, max));
    await act();
    times++;
  }
  return times;
}
