/** What a fault is: something that goes wrong for a while, and is over when `inject` returns. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Chance } from "./chance.ts";
import type { Fleet, Profile } from "./fleet.ts";
import type { IntentMix } from "./intent_mix.ts";
import type { Breach, LossWindow, RefusalWindow } from "./facts.ts";
import type { Producer } from "./producer.ts";
import type { Setting } from "./setting.ts";

/** By the names that the service's log has for them. */
type Dependency = "redis" | "postgres" | "user_service" | "intent_stream";

export interface Scene {
  readonly setting: Setting;
  readonly fleet: Fleet;
  readonly producer: Producer;
  readonly mix: IntentMix;
  /** Of this injection alone. */
  readonly chance: Chance;
  /** Nothing else goes wrong meanwhile: what the service does can be held to its bounds. */
  readonly isAlone: boolean;
}

export interface Injection {
  /** How often it was done, where only what hit counts. */
  readonly times: number;
  /** What the service did that neither tables nor streams show. */
  readonly breaches?: readonly Breach[];
  readonly refusals?: readonly RefusalWindow[];
  readonly losses?: readonly LossWindow[];
  /** When the store could be used again, for a fault that loses something. */
  readonly returnedAtMs?: number;
  /** How it went, for the reader. */
  readonly note?: string;
}

export interface Fault {
  readonly name: string;
  /** In a few words, for `--list`. */
  readonly summary: string;
  /** What it lays hands on: two faults at once never have the same. */
  readonly part: "instances" | "redis" | "postgres" | "users";
  /** What an instance has to say is out: where none says so, the fault was never felt and doesn't count. */
  readonly outage?: Dependency;
  /** How many instances there have to be, at least and at most; else one or two. */
  readonly instances?: readonly [least: number, most: number];
  /** The batch sizes it needs; else chance decides. */
  readonly profile?: Profile;
  /** Variables that the instances get for this fault alone. */
  readonly env?: Readonly<Record<string, string>>;
  /** The longest recovery after an outage of that length, if nothing else failed; otherwise the common bound holds. */
  readonly recoversWithin?: (outageSeconds: number) => number;
  /** With another fault at the same time, the cause of a breach could not be determined. */
  readonly isAlwaysAlone?: true;
  /** It takes a quarter of a minute: the others come first. */
  readonly isLong?: true;
  /** The store comes back with less than it acknowledged. Never two at once: they could lose the same thing. */
  readonly loses?: true;
  /** Records that are finished may be gone before they are judged. */
  readonly finishedMayBeGone?: true;
  readonly inject: (scene: Scene) => Promise<Injection>;
}

export function pause(seconds: number): Promise<void> {
  return sleep(seconds * 1000);
}

/** Calls `act` again and again for so long, with pauses drawn in between; how often it was called. */
export async function again(
  chance: Chance,
  { seconds, pauses: [least, most] }: { seconds: number; pauses: readonly [number, number] },
  act: () => unknown,
): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let times = 0;
  while (performance.now() < end) {
    await pause(chance.between(least, most));
    await act();
    times++;
  }
  return times;
}
