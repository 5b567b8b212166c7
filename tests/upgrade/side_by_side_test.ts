/**
 * Version 0.1 and the current one on the same Redis and PostgreSQL, as during an upgrade, under load: both consume,
 * claim and publish, instances of both are killed, and a stream refuses entries for a while. The chaos harness's judge
 * checks the result.
 */
import assert from "node:assert/strict";
import { Chance } from "../../scripts/chaos/chance.ts";
import { playEnd } from "../../scripts/chaos/end.ts";
import { EvidenceReader } from "../../scripts/chaos/evidence.ts";
import type { RefusalWindow } from "../../scripts/chaos/facts.ts";
import { Fleet, type Instance } from "../../scripts/chaos/fleet.ts";
import { IntentMix } from "../../scripts/chaos/intent_mix.ts";
import { Producer } from "../../scripts/chaos/producer.ts";
import { Setting, STREAMS } from "../../scripts/chaos/setting.ts";
import { putAside, putBack } from "../../scripts/chaos/stream_aside.ts";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { eventually } from "../support/wait.ts";
import { provideVersion01 } from "./version_0_1.ts";

const RATE = 250;
const TURNS = 12;
const TURN_MS = 1_500;
/** Within this time an instance notices that another one has the consumer lease. */
const RENEWAL_MS = 1_200;
/** The consuming instance is killed once in this many turns. */
const TURNS_PER_KILL = 3;
/**
 * Of version 0.1, which does not start on the tables of this version: half of the kills are theirs, and one stops in
 * order.
 */
const OLD_INSTANCES = 3;
const NEW_INSTANCES = 2;
/** In this turn the push stream refuses entries, so that both versions claim what failed. */
const REFUSING_TURN = 4;
const MIN_INTENTS = 2_000;

/** As by default: routes that fail twice are older than the time for which version 0.1 owns them. */
const ENV = { NOTIFICATION_ROUTE_BACKOFF_MIN: "1s", NOTIFICATION_ROUTE_BACKOFF_MAX: "2s" };

Deno.test("two versions side by side under load lose nothing and repeat nothing", async () => {
  await using version01 = await provideVersion01();
  await using setting = await Setting.open();
  const logFolder = await Deno.makeTempDir({ prefix: "notification-side-by-side-" });
  await using fleet = new Fleet(setting, { logFolder, env: ENV });
  const mix = new IntentMix(new Chance("side by side"), crypto.randomUUID().slice(0, 8));
  const producer = new Producer(setting.redis, { mix, rate: RATE });
  const roots = [version01.root, undefined] as const;
  const join = async (root: string | undefined) => await (await fleet.join("default", {}, { root })).ready;
  for (let at = 0; at < OLD_INSTANCES; at++) await join(version01.root);
  producer.start();
  // The first of them migrates, under load.
  for (let at = 0; at < NEW_INSTANCES; at++) await join(undefined);

  const accepted = new Map(roots.map((root) => [root, 0]));
  const refusals: RefusalWindow[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const root = roots[turn % roots.length];
    const consumer = await consume(fleet, setting, root);
    const before = await countRecords(setting);
    if (turn === REFUSING_TURN) refusals.push(await refusePush(setting));
    await new Promise((resolve) => setTimeout(resolve, TURN_MS));
    if (await fleet.consuming() === consumer) {
      accepted.set(root, accepted.get(root)! + await countRecords(setting) - before);
    }
    if (turn % TURNS_PER_KILL === 0) {
      await fleet.kill(consumer);
      if (root === undefined) await join(root);
    }
  }
  const old = fleet.instances.filter(({ root }) => root !== undefined);
  assert.equal(old.length, OLD_INSTANCES - TURNS / TURNS_PER_KILL / roots.length);
  for (const instance of old) await fleet.leave(instance);
  await new Promise((resolve) => setTimeout(resolve, TURN_MS));

  const { breaches, intents } = await playEnd(
    { scene: { setting, fleet, producer, mix }, reader: new EvidenceReader(setting) },
    refusals,
  );
  assert.deepEqual(breaches, [], `Logs of all instances: ${logFolder}`);
  assert.ok(intents >= MIN_INTENTS, `${intents} intents`);
  for (const [root, records] of accepted) {
    assert.ok(records > RATE, `${root === undefined ? "the present version" : "version 0.1"} accepted ${records}`);
  }
  await Deno.remove(logFolder, { recursive: true });
});

/** Gives the consumer lease to an instance of that version; returns when only it consumes. */
async function consume(fleet: Fleet, { redis }: Setting, root: string | undefined): Promise<Instance> {
  const instance = fleet.working.find((one) => one.root === root);
  if (instance === undefined) throw new Error("No instance of this version works");
  // Taken from the others until the instance has it.
  await eventually(async () => {
    if (await fleet.consuming() === instance) return true;
    await redis.del(consumerLeaseKey(STREAMS.intents));
    return false;
  }, { timeoutMs: 30_000, intervalMs: 200, message: `${instance.name} never consumed` });
  await new Promise((resolve) => setTimeout(resolve, RENEWAL_MS));
  return instance;
}

async function refusePush(setting: Setting): Promise<RefusalWindow> {
  const fromMs = Date.now();
  await putAside(setting, STREAMS.push);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await putBack(setting, STREAMS.push);
  return { channel: "push", fromMs, toMs: Date.now() + 1 };
}

async function countRecords(setting: Setting): Promise<number> {
  const [row] = await setting.query<{ records: number }>("SELECT count(*)::int AS records FROM notification.records");
  return row!.records;
}
