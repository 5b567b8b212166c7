/**
 * A scene and a number of intents → samples of one running service that gets these intents one at a time. Each intent
 * takes a separate pass of every loop, so a leak in a pass becomes visible.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { OUTBOUND } from "../bench/fill.ts";
import type { Tolerances } from "./growth.ts";
import { type Sample, takeSample } from "./sample.ts";
import type { Scene } from "./scene.ts";

const SAMPLES = 40;

/**
 * A leak of one array with two elements in each pass is 133 bytes for each intent (measured); without a leak, the heap
 * stays the same.
 */
export function singlesTolerances(intents: number): Partial<Tolerances> {
  return { heap: { share: 0, amount: 60 * intents / 2 } };
}

export async function playSingles(scene: Scene, intents: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const running = scene.start();
  for (let sent = 1; sent <= intents; sent++) {
    await scene.addIntents(1);
    await arrived(scene, sent);
    if (sent % Math.ceil(intents / SAMPLES) !== 0) continue;
    await scene.settled();
    samples.push(await takeSample());
  }
  await running.stop();
  return samples;
}

/** Waits until `intents` intents, for two users each, have all their outbound entries. */
async function arrived({ redis }: Scene, intents: number): Promise<void> {
  for (;;) {
    const lengths = await Promise.all(OUTBOUND.map((stream) => redis.xlen(stream)));
    if (lengths.every((length) => length >= 2 * intents)) return;
    await sleep(1);
  }
}
