// Instances of the service are killed, frozen, started and stopped, at moments that hurt.

import { eventually } from "../../../tests/support/wait.ts";
import { again, type Fault, pause, type Scene } from "../fault.ts";
import type { Instance } from "../fleet.ts";
import type { Breach } from "../facts.ts";
import { STREAMS } from "../setting.ts";
import { isBetweenHandOffAndCommit, isHoldingClaim, isWorkLeft } from "./work_in_hand.ts";

/** Contract, section 6: another instance takes over within this time. */
const TAKEOVER_SECONDS = 6;
const MOST_TRIES = 60;

export const INSTANCE_FAULTS: readonly Fault[] = [
  {
    name: "kill",
    summary: "SIGKILL at random moments with work in hand",
    part: "instances",
    instances: [1, 2],
    inject: (scene) => killAgainAndAgain(scene, async () => await isWorkLeft(scene.setting)),
  },
  {
    name: "kill-between",
    summary: "SIGKILL between the hand-off and the commit",
    part: "instances",
    instances: [1, 1],
    profile: "tiny",
    inject: (scene) => killAgainAndAgain(scene, async () => await isBetweenHandOffAndCommit(scene.setting)),
  },
  {
    name: "kill-consumer",
    summary: "the consuming instance is killed: another takes over within 6 s",
    part: "instances",
    instances: [2, 2],
    isAlwaysAlone: true,
    inject: killConsumer,
  },
  {
    name: "pause",
    summary: "SIGSTOP for longer than a claim's life while another works, then SIGCONT",
    part: "instances",
    instances: [2, 3],
    isLong: true,
    async inject(scene) {
      const { fleet, chance } = scene;
      const holding = await freezeWhen(scene, (instance) => isHoldingClaim(scene.setting, instance.name));
      const frozen = holding ?? await freezeWhen(scene, () => Promise.resolve(true));
      const seconds = chance.between(10.3, 12.5);
      await pause(seconds);
      if (frozen !== undefined) fleet.thaw(frozen);
      const what = holding === undefined ? "with no claim in hand" : "with a claim in hand";
      return { times: frozen === undefined ? 0 : 1, note: `${seconds.toFixed(1)} s ${what}` };
    },
  },
  {
    name: "come-and-go",
    summary: "up to four instances join and leave",
    part: "instances",
    instances: [1, 2],
    async inject({ fleet, chance }) {
      const { profile } = fleet.instances[0]!;
      const times = await again(chance, { seconds: chance.between(3, 5), pauses: [0.1, 1] }, async () => {
        const leaving = chance.pick([...fleet.working, undefined]);
        if (fleet.instances.length < 4 && (chance.oneIn(2) || fleet.working.length < 2)) await fleet.join(profile);
        else if (leaving !== undefined && fleet.working.length > 1) await fleet.leave(leaving);
      });
      return { times };
    },
  },
];

/** Kills at random moments, a few times; those count for which `isHit` holds while the victim is frozen. */
async function killAgainAndAgain(scene: Scene, isHit: (instance: Instance) => Promise<boolean>) {
  const { fleet, chance, setting } = scene;
  let hits = 0;
  for (let kills = chance.whole(6, 12); kills > 0; kills--) {
    const victim = await freezeWhen(scene, isHit);
    if (victim === undefined) continue;
    hits++;
    const { profile } = victim;
    await fleet.kill(victim);
    // As a rule nobody waits until the dead one's lease has run out: this is about what it had in hand.
    if (!chance.oneIn(5)) await setting.redis.del(`notification:consumer_lease:${STREAMS.intents}`).catch(() => {});
    const successor = await fleet.join(profile);
    // Sometimes the next one is killed while it starts.
    if (!chance.oneIn(4)) await successor.ready.catch(() => {});
  }
  return { times: hits };
}

/** Freezes instances at random moments until `isHit` holds for one, which stays frozen. */
async function freezeWhen(
  { fleet, chance }: Scene,
  isHit: (instance: Instance) => Promise<boolean>,
): Promise<Instance | undefined> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    await pause(chance.between(0.01, 0.2));
    // Also one that is starting.
    const awake = fleet.instances.filter(({ isFrozen, isExpectedToEnd }) => !isFrozen && !isExpectedToEnd);
    if (awake.length === 0) continue;
    const victim = chance.pick(awake);
    fleet.freeze(victim);
    if (await isHit(victim).catch(() => true)) return victim; // nobody can be asked: a good moment too
    fleet.thaw(victim);
  }
  return undefined;
}

async function killConsumer(scene: Scene) {
  const { fleet, chance } = scene;
  const breaches: Breach[] = [];
  await pause(chance.between(0, 1));
  const victim = await eventually(() => fleet.consuming(), { message: "Nobody consumes" });
  const start = performance.now();
  await fleet.kill(victim);
  await pause(0.05); // what it had sent may still be committed
  const from = await place(scene);
  await eventually(async () => await place(scene) !== from, {
    ...{ timeoutMs: 30_000, intervalMs: 5 },
    message: "Nobody took over",
  });
  const seconds = (performance.now() - start) / 1000;
  const note = `the place moved again after ${seconds.toFixed(2)} s`;
  if (seconds > TAKEOVER_SECONDS) breaches.push({ kind: "wrong", text: note });
  await fleet.join(victim.profile);
  return { times: 1, breaches, note };

  async function place({ setting }: Scene): Promise<string> {
    const [row] = await setting.query<{ entry_id: string }>(
      "SELECT entry_id FROM notification.stream_offsets WHERE stream = $1",
      [STREAMS.intents],
    );
    return row?.entry_id ?? "";
  }
}
