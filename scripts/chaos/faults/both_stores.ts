/** Both stores come back without some acknowledged writes, one after the other. */
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { recovery, watermark } from "../recovery.ts";
import { copyData, type DataCopy, restore, restoreCopy } from "./postgres_losses.ts";
import { promoteReplica } from "./redis_losses.ts";

const RECOVERY_TIMEOUT_SECONDS = 30;
const FRESH_INTENTS = 10;

export const BOTH_STORES_FAULTS: readonly Fault[] = [
  fault(
    "redis-then-later-copy",
    "Redis loses its last writes and is repaired; then PostgreSQL is restored",
    redisThenLaterCopy,
  ),
  fault(
    "redis-then-earlier-copy",
    "Redis loses its last writes; PostgreSQL is restored from a copy made before",
    redisThenEarlierCopy,
  ),
  fault(
    "redis-then-copy-between",
    "Redis loses its last writes; PostgreSQL is restored from a copy made between the first of them and the loss",
    redisThenCopyBetween,
  ),
  fault(
    "postgres-then-redis",
    "PostgreSQL is restored and repaired; then Redis loses its last writes",
    postgresThenRedis,
  ),
];

type Losses = readonly [first: Injection, second: Injection];

function fault(name: string, summary: string, loseBoth: (scene: Scene) => Promise<Losses>): Fault {
  return {
    name,
    summary,
    part: "redis",
    outage: "redis",
    loses: true,
    isAlwaysAlone: true,
    async inject(scene) {
      const [first, second] = await loseBoth(scene);
      return {
        ...second,
        times: Math.min(first.times, second.times),
        losses: [first, second].flatMap(({ losses = [] }) => losses),
        note: [first, second].map(({ note }) => note).join("; "),
      };
    },
  };
}

/** The loss of Redis is repaired before the copy of PostgreSQL is made. */
async function redisThenLaterCopy(scene: Scene): Promise<Losses> {
  const first = await promoteReplica(scene);
  await waitForRepair(scene);
  return [first, await restore(scene, [1, 3])];
}

/**
 * PostgreSQL is copied before Redis loses data, and restored soon after the loss, so that the repair, finished or not,
 * is lost, too.
 */
async function redisThenEarlierCopy(scene: Scene): Promise<Losses> {
  const copy = await copyData(scene.setting);
  const first = await promoteReplica(scene);
  await pause(scene.chance.between(0.2, 2));
  return [first, { ...await restoreCopy(scene.setting, copy), note: "a copy made before Redis lost writes" }];
}

/**
 * The copy is made after the first lost write of Redis and before the service has detected the loss, so that what the
 * service writes about the loss is lost.
 */
async function redisThenCopyBetween(scene: Scene): Promise<Losses> {
  const copies: DataCopy[] = [];
  const first = await promoteReplica(scene, {
    async whileHeld() {
      copies.push(await copyData(scene.setting));
    },
  });
  await pause(scene.chance.between(0.2, 2));
  return [first, {
    ...await restoreCopy(scene.setting, copies[0]!),
    note: "a copy made between the writes that Redis lost",
  }];
}

/** The loss of PostgreSQL is repaired, including the leases, before Redis loses data. */
async function postgresThenRedis(scene: Scene): Promise<Losses> {
  const first = await restore(scene, [1, 3]);
  await waitForRepair(scene);
  return [first, await promoteReplica(scene)];
}

async function waitForRepair({ setting, producer }: Scene): Promise<void> {
  // Intents that are sent now are published only after the service has detected the loss.
  await producer.sent(FRESH_INTENTS, RECOVERY_TIMEOUT_SECONDS);
  await recovery(setting, await watermark(setting), RECOVERY_TIMEOUT_SECONDS);
}
