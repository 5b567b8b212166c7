/** Instances of the service are killed, frozen, started and stopped at critical moments. */
import { eventually } from "../../../tests/support/wait.ts";
import { consumerLeaseKey } from "../../../src/redis/keys.ts";
import { type Fault, type Injection, pause, repeatFor, type Scene } from "../fault.ts";
import { type Instance, IS_OF_INSTANCE } from "../fleet.ts";
import type { Breach } from "../facts.ts";
import { type Setting, STREAMS } from "../setting.ts";
import { isBeforeHandOff, isBetweenHandOffAndCommit, isInTransaction } from "./unfinished_work.ts";

/** docs/contract.md, section 6: another instance takes over within this time. */
const TAKEOVER_SECONDS = 6;
const MAX_TRIES = 60;
/**
 * Routes wait for their hand-off for only one or two milliseconds, and only in the consuming instance. A run of 180
 * tries has hit none.
 */
const MAX_TRIES_BEFORE_HAND_OFF = 400;
const MAX_INSTANCES = 4;

export const INSTANCE_FAULTS: readonly Fault[] = [
  {
    name: "kill",
    summary: "SIGKILL at random moments with unfinished work",
    part: "instances",
    instances: [1, 2],
    inject: (scene) => killRepeatedly(scene, (instance) => hasUnfinishedWork(scene, instance)),
  },
  {
    name: "kill-between",
    summary: "SIGKILL between the hand-off and the commit",
    part: "instances",
    instances: [1, 1],
    profile: "tiny",
    inject: (scene) => killRepeatedly(scene, (instance) => isBetweenHandOffAndCommit(scene.setting, instance)),
  },
  {
    name: "kill-consumer",
    summary: "the consuming instance is killed: another one takes over within 6 s",
    part: "instances",
    instances: [2, 2],
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
      const frozen = await freezeWhen(
        scene,
        (instance) => isBeforeHandOff(scene.setting, instance),
        MAX_TRIES_BEFORE_HAND_OFF,
      );
      if (frozen === undefined) return { times: 0, note: "no instance had unfinished routes" };
      // Longer than the life of the leases of the routes that the other instance publishes meanwhile.
      const seconds = chance.between(12.5, 14);
      await pause(seconds);
      fleet.thaw(frozen);
      return { times: 1, note: `${seconds.toFixed(1)} s with unfinished routes` };
    },
  },
  {
    name: "come-and-go",
    summary: "up to four instances join and leave",
    part: "instances",
    instances: [MAX_INSTANCES, MAX_INSTANCES],
    async inject({ fleet, chance }) {
      const { profile } = fleet.instances[0]!;
      let times = 0;
      let maxWorking = 0;
      await repeatFor(chance, { seconds: chance.between(4, 6), pauses: [0.1, 1] }, async () => {
        const { working } = fleet;
        maxWorking = Math.max(maxWorking, working.length);
        if (fleet.instances.length < MAX_INSTANCES && (chance.oneIn(2) || working.length < 2)) {
          await fleet.join(profile);
        } else if (working.length > 1) {
          await fleet.leave(chance.pick(working));
        } else {
          return;
        }
        times++;
      });
      const breaches: Breach[] = maxWorking < MAX_INSTANCES
        ? [{ kind: "wrong", text: `no more than ${maxWorking} instances worked at once` }]
        : [];
      return { times, breaches, note: `at most ${maxWorking} worked at once` };
    },
  },
];

/**
 * Whether the instance has unfinished work: an open transaction, accepted routes that are not handed off, or handed-off
 * routes whose outcome is not written.
 */
async function hasUnfinishedWork({ setting, fleet }: Scene, instance: Instance): Promise<boolean> {
  if (await isInTransaction(setting, instance)) return true;
  if (await isBeforeHandOff(setting, instance)) return true;
  // Which instance has handed off a route is known only if there is one instance.
  return fleet.instances.length === 1 && await isBetweenHandOffAndCommit(setting, instance);
}

/** Kills ready instances a few times, at random moments at which `isHit` returns `true`. */
async function killRepeatedly(scene: Scene, isHit: (instance: Instance) => Promise<boolean>) {
  const { fleet, chance, setting } = scene;
  let hits = 0;
  for (let kills = chance.whole(6, 12); kills > 0; kills--) {
    const victim = await freezeWhen(scene, isHit);
    if (victim === undefined) continue;
    hits++;
    const { profile } = victim;
    await fleet.kill(victim);
    // In most cases the lease of the killed instance is deleted, so that its successor continues at once: the fault is
    // about unfinished work, not about the take-over.
    if (!chance.oneIn(5)) await setting.redis.del(consumerLeaseKey(STREAMS.intents)).catch(() => {});
    const successor = await fleet.join(profile);
    if (chance.oneIn(4)) {
      // The successor is killed while it starts. This kill is not counted.
      await pause(chance.between(0, 1));
      await fleet.kill(successor);
      await fleet.join(profile);
    }
  }
  return { times: hits };
}

/** Freezes instances at random moments until `isHit` returns `true` for one. This one stays frozen and is returned. */
async function freezeWhen(
  { fleet, chance }: Scene,
  isHit: (instance: Instance) => Promise<boolean>,
  maxTries = MAX_TRIES,
): Promise<Instance | undefined> {
  for (let tries = 0; tries < maxTries; tries++) {
    await pause(chance.between(0.01, 0.2));
    if (fleet.working.length === 0) continue;
    const victim = chance.pick(fleet.working);
    fleet.freeze(victim);
    if (await isHit(victim).catch(() => false)) return victim; // a failed query is no hit
    fleet.thaw(victim);
  }
  return undefined;
}

async function killConsumer(scene: Scene): Promise<Injection> {
  const { fleet, chance, setting, isAlone } = scene;
  await pause(chance.between(0, 1));
  const victim = await eventually(() => fleet.consuming(), { message: "No instance consumes" }).catch(() => undefined);
  if (victim === undefined) return { times: 0, note: "no instance consumed" };
  const start = performance.now();
  await fleet.kill(victim);
  if (!isAlone) {
    await fleet.join(victim.profile);
    return { times: 1 };
  }
  // PostgreSQL may still commit what the instance had sent.
  await eventually(async () => !await hasActiveSession(victim, scene));
  const from = await readOffset(setting);
  const moved = await eventually(async () => await readOffset(setting) !== from, { timeoutMs: 30_000, intervalMs: 5 })
    .catch(() => false);
  const seconds = (performance.now() - start) / 1000;
  await fleet.join(victim.profile);
  const note = moved ? `the offset moved again after ${seconds.toFixed(2)} s` : "no instance took over";
  return { times: 1, breaches: seconds > TAKEOVER_SECONDS ? [{ kind: "wrong", text: note }] : [], note };
}

/**
 * Whether a session of the instance is not idle. An idle session has nothing to commit, and may remain after a
 * connection was blocked.
 */
async function hasActiveSession({ name }: Instance, { setting }: Scene): Promise<boolean> {
  const [row] = await setting.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE ${IS_OF_INSTANCE} AND state <> 'idle') AS found`,
    [name],
  );
  return row?.found ?? true;
}

async function readOffset(setting: Setting): Promise<string> {
  const [row] = await setting.query<{ entry_id: string }>(
    "SELECT entry_id FROM notification.stream_offsets WHERE stream = $1",
    [STREAMS.intents],
  );
  return row?.entry_id ?? "";
}
