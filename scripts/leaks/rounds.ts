/**
 * A scene and a number of rounds → samples, one after every second round. In each round, the whole service is started,
 * processes intents and is stopped.
 */
import { type Sample, takeSample } from "./sample.ts";
import type { Scene } from "./scene.ts";

const INTENTS_A_ROUND = 3;
const ROUNDS_A_SAMPLE = 2;

export async function playRounds(scene: Scene, rounds: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    await scene.addIntents(INTENTS_A_ROUND);
    const running = scene.start();
    await scene.settled();
    await running.stop();
    if (round % ROUNDS_A_SAMPLE === 0) samples.push(await takeSample());
  }
  return samples;
}
