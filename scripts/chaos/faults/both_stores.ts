/** Both stores come back with less than they acknowledged, one after the other. */
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { recovery, watermark } from "../recovery.ts";
import { copyData, type DataCopy, putBack, restore } from "./postgres_losses.ts";
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
      const loseBoth = scene.chance.pick(LOSSES_OF_BOTH);
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

const LOSSES_OF_BOTH = [redisThenPostgres, redisThenOlderPostgres, redisThenForgetfulPostgres, postgresThenRedis];

type Losses = readonly [first: Injection, second: Injection];

/** What Redis lost is repaired by the time of the copy. */
async function redisThenPostgres(scene: Scene): Promise<Losses> {
  const first = await promoteReplica(scene);
  await repaired(scene);
  return [first, await restore(scene, [1, 3])];
}

/**
 * PostgreSQL is copied before Redis loses anything, and put back at once: the repair, perhaps unfinished, is lost with
 * the rest.
 */
async function redisThenOlderPostgres(scene: Scene): Promise<Losses> {
  const copy = await copyData(scene.setting);
  const first = await promoteReplica(scene);
  await pause(scene.chance.between(0.2, 2));
  return [first, { ...await putBack(scene.setting, copy), note: "a copy of before" }];
}

/**
 * The copy is of the time when Redis has lost something and the service does not know it yet: what it finds out is
 * lost.
 */
async function redisThenForgetfulPostgres(scene: Scene): Promise<Losses> {
  const copies: DataCopy[] = [];
  const first = await promoteReplica(scene, {
    async whileHeld() {
      copies.push(await copyData(scene.setting));
    },
  });
  await pause(scene.chance.between(0.2, 2));
  return [first, { ...await putBack(scene.setting, copies[0]!), note: "a copy of between the writes that Redis lost" }];
}

/** What PostgreSQL lost is restored, leases too, by the time of the loss. */
async function postgresThenRedis(scene: Scene): Promise<Losses> {
  const first = await restore(scene, [1, 3]);
  await repaired(scene);
  return [first, await promoteReplica(scene)];
}

async function repaired({ setting, producer }: Scene): Promise<void> {
  // Intents that are sent now are published when the loss is known.
  await producer.sent(FRESH_INTENTS, RECOVERS_WITHIN_SECONDS);
  await recovery(setting, await watermark(setting), RECOVERS_WITHIN_SECONDS);
}
