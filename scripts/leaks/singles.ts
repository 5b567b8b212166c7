/**
 * A service in this process and a number of intents → samples while it runs and gets these intents one at a time. Each
 * intent takes a separate pass of every loop, so a leak in a pass becomes visible.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { OUTBOUND } from "../bench/fill.ts";
import type { Tolerances } from "./growth.ts";
import { type Sample, takeSample } from "./sample.ts";
import type { InProcessService } from "./in_process_service.ts";

const SAMPLES = 40;

/**
 * A leak of one array with two elements in each pass is 133 bytes for each intent (measured); without a leak, the heap
 * stays the same.
 */
export function singlesTolerances(intents: number): Partial<Tolerances> {
  return { heap: { share: 0, amount: 60 * intents / 2 } };
}

export async function playSingles(service: InProcessService, intents: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const running = service.start();
  for (let sent = 1; sent <= intents; sent++) {
    await service.addIntents(1);
    await arrived(service, sent);
    if (sent % Math.ceil(intents / SAMPLES) !== 0) continue;
    await service.settled();
    samples.push(await takeSample());
  }
  await running.stop();
  return samples;
}

/** Waits until `intents` intents, for two users each, have all their outbound entries. */
async function arrived({ redis }: InProcessService, intents: number): Promise<void> {
  for (;;) {
    const lengths = await Promise.all(OUTBOUND.map((stream) => redis.xlen(stream)));
    if (lengths.every((length) => length >= 2 * intents)) return;
    await sleep(1);
  }
}
