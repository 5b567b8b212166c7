// Both stores come back with less than they acknowledged, one after the other and not the same: what one of them has lost is
// restored from the other before that loses something too, or the other was copied before the first lost anything.

import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { recovery, watermark } from "../recovery.ts";
import { copyData, putBack, restore } from "./postgres_losses.ts";
import { promoteReplica } from "./redis_losses.ts";

const RECOVERS_WITHIN_SECONDS = 30;
const FRESH_INTENTS = 10;

export const BOTH_STORES_FAULTS: readonly Fault[] = [
  {
    name: "both-stores",
    summary: "a replica of Redis is promoted without its last writes and PostgreSQL is put back, one after the other",
    part: "redis",
    outage: "redis",
    loses: true,
    isAlwaysAlone: true,
    async inject(scene) {
      const loseBoth = scene.chance.pick([redisThenPostgres, redisThenOlderPostgres, postgresThenRedis]);
      const [first, second] = await loseBoth(scene);
      return {
        ...second,
        times: Math.min(first.times, second.times),
        losses: [first, second].flatMap(({ losses = [] }) => losses),
        note: `${loseBoth.name}: ${[first, second].map(({ note }) => note).join("; ")}`,
      };
    },
  },
];

type Losses = readonly [first: Injection, second: Injection];

/** What Redis lost is repaired by the time of the copy. */
async function redisThenPostgres(scene: Scene): Promise<Losses> {
  const first = await promoteReplica(scene);
  // Intents that are sent now are published when the loss is known.
  await scene.producer.sent(FRESH_INTENTS, RECOVERS_WITHIN_SECONDS);
  await recovery(scene.setting, await watermark(scene.setting), RECOVERS_WITHIN_SECONDS);
  return [first, await restore(scene, [1, 3])];
}

/** PostgreSQL is copied before Redis loses anything, and put back at once: the repair, perhaps unfinished, is lost with the rest. */
async function redisThenOlderPostgres(scene: Scene): Promise<Losses> {
  const copy = await copyData(scene.setting);
  const first = await promoteReplica(scene);
  await pause(scene.chance.between(0.2, 2));
  return [first, { ...await putBack(scene.setting, copy), note: "a copy of before" }];
}

async function postgresThenRedis(scene: Scene): Promise<Losses> {
  const first = await restore(scene, [1, 3]);
  await pause(scene.chance.between(0, 1));
  return [first, await promoteReplica(scene)];
}
