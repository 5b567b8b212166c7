/**
 * A service in this process and a number of rounds → samples, one after every second round. In each round, the whole
 * service is started, processes intents and is stopped.
 */
import { type Sample, takeSample } from "./sample.ts";
import type { InProcessService } from "./in_process_service.ts";

const INTENTS_PER_ROUND = 3;
const ROUNDS_PER_SAMPLE = 2;

export async function playRounds(service: InProcessService, rounds: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    await service.addIntents(INTENTS_PER_ROUND);
    const running = service.start();
    await service.settled();
    await running.stop();
    if (round % ROUNDS_PER_SAMPLE === 0) samples.push(await takeSample());
  }
  return samples;
}
