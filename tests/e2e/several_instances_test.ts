/**
 * Several instances on one Redis and PostgreSQL: which one consumes, takes over, publishes (docs/contract.md, section
 * 6).
 */
import assert from "node:assert/strict";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { jsonOf } from "../support/command.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const LEASE = consumerLeaseKey("notification:intents");

Deno.test("one instance consumes, the others stand by; the lease is the consumer's, and short", async () => {
  await using rig = await openRig();
  const instances = await Promise.all([rig.start(), rig.start(), rig.start()]);
  await eventually(() => instances.every((instance) => role(instance) !== undefined));
  assert.deepEqual(instances.map(role).sort(), ["consuming", "standby", "standby"]);
  const holder = await rig.redis.get(LEASE) ?? "none";
  assert.match(holder, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  const sessions = await rig.query<{ application_name: string }>(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()",
  );
  const names = sessions.map((session) => session.application_name).filter((name) => name !== "");
  assert.equal(names.filter((name) => name.endsWith(holder)).length, 1);
  assert.equal(names.length, 3);

  // It lives for five seconds and is renewed every second.
  const ttl = await rig.redis.pttl(LEASE);
  assert.ok(ttl > 0 && ttl <= 5000, `${ttl} ms`);
  let before = ttl;
  await eventually(async () => {
    const now = await rig.redis.pttl(LEASE);
    const renewed = now > before;
    before = now;
    return renewed;
  });
  assert.equal(await rig.redis.get(LEASE), holder);

  // After a stop another instance takes over at once.
  const consumer = the(instances, "consuming");
  const others = instances.filter((instance) => instance !== consumer);
  await consumer.terminate();
  assert.notEqual(await rig.redis.get(LEASE), holder, "given back, not run out");
  const entryId = await rig.addIntent();
  await eventually(() => others.some((instance) => role(instance) === "consuming"));
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [entryId]), ["accepted"]);
});

Deno.test("two instances with the same service.instance.id are distinguished, and only one looks users up", async () => {
  await using rig = await openRig({
    env: { OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=fleet" },
    otherUsers: (id) => ({ email: `${id}@example.com` }),
  });
  const instances = await Promise.all([rig.start(), rig.start()]);
  await eventually(() => instances.every((instance) => role(instance) !== undefined));
  assert.deepEqual(instances.map(role).sort(), ["consuming", "standby"]);
  assert.match(await rig.redis.get(LEASE) ?? "", /^fleet\/[0-9a-f]{8}$/);
  const ids = Array.from({ length: 20 }, (_, index) => `fleet-${index}`);
  for (const id of ids) await rig.addIntent({ recipient_user_ids_json: JSON.stringify([id]) });
  await rig.settled();
  const { instances: shown } = await jsonOf(rig, ["status"]);
  assert.equal(shown.length, 2);
  assert.equal(new Set(shown.map(({ id }: { id: string }) => id)).size, 2);
  assert.equal(shown.filter(({ consuming }: { consuming: boolean }) => consuming).length, 1);
  assert.equal(instances.flatMap(({ logs }) => logs).filter(({ message }) => message === "consuming").length, 1);
  assert.deepEqual([...rig.users.requestedIds].sort(), ids.sort());
});

Deno.test("a killed consumer is followed within six seconds, and the others publish all the while", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_ROUTE_BACKOFF_MIN: "500ms", NOTIFICATION_ROUTE_BACKOFF_MAX: "500ms" },
  });
  const first = await rig.start();
  await first.waitForLog((line) => line.message === "consuming");
  const instanceId = await rig.redis.get(LEASE);
  const second = await rig.start();
  await second.waitForLog((line) => line.message === "standby");

  // Routes that the first instance could not publish, and an intent that is not read yet, when it dies.
  await rig.redis.set("gateway:client-events", "in the way");
  const published = await rig.addIntent();
  await eventually(async () =>
    (await rig.query("SELECT 1 FROM notification.routes WHERE channel = 'push' AND status = 'failed'")).length > 0
  );
  await first.kill();
  // The dead one's lease, of less than five seconds, is stretched until the second has published on standby.
  const left = await rig.redis.pttl(LEASE);
  assert.ok(left > 0 && left <= 5000, `${left} ms`);
  await rig.redis.pexpire(LEASE, 60_000);
  await rig.redis.del("gateway:client-events");
  const unread = await rig.addIntent();
  await eventually(async () => (await rig.clientEvents()).length === 1);
  assert.equal(await rig.redis.get(LEASE), instanceId, "the second has published before it took over");
  assert.equal(role(second), "standby");
  assert.deepEqual(await verdicts(rig, [published]), ["accepted"]);

  await rig.redis.pexpire(LEASE, left);
  await eventually(async () => await rig.redis.get(LEASE) !== instanceId);
  const free = performance.now();
  await second.waitForLog((line) => line.message === "consuming");
  // It looks four times a second, within the one remaining of the six seconds.
  assert.ok(performance.now() - free < 3000, `${performance.now() - free} ms`);
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [unread]), ["accepted"]);
  assert.equal((await rig.clientEvents()).length, 2);
});

Deno.test("a lease that is deleted or taken over does no harm", async () => {
  await using rig = await openRig();
  const instances = [await rig.start(), await rig.start()];
  const ids: string[] = [];
  for (let round = 0; round < 6; round++) {
    for (let index = 0; index < 20; index++) ids.push(await rig.addIntent());
    if (round % 2 === 0) await rig.redis.del(LEASE);
    else await rig.redis.set(LEASE, "another instance", "PX", 300);
  }
  await rig.settled();
  assert.deepEqual(new Set(await verdicts(rig, ids)), new Set(["accepted"]));
  await once(rig, ids.length);
  for (const instance of instances) assert.equal((await instance.terminate()).code, 0);
});

Deno.test("instances killed at random moments under load lose nothing and repeat nothing", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_INTENTS_BATCH_SIZE: "20", NOTIFICATION_PUBLISH_BATCH_SIZE: "30" },
  });
  let instances: ServiceProcess[] = await Promise.all([rig.start(), rig.start()]);
  const good: string[] = [];
  const bad: string[] = [];
  let producing = true;
  const producer = (async () => {
    while (producing) {
      const some = Array.from({ length: 25 }, () => rig.addIntent());
      good.push(...await Promise.all(some));
      bad.push(await rig.addIntent({ payload_json: "{}" }));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  for (let round = 0; round < 6; round++) {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
    const victim = instances[Math.floor(Math.random() * instances.length)];
    await victim?.kill();
    // Without this the next instances would wait five seconds for the lease of the dead one.
    await rig.redis.del(LEASE);
    instances = [...instances.filter((instance) => instance !== victim), await rig.start()];
  }
  producing = false;
  await producer;
  await rig.settled({ timeoutMs: 30_000 });
  assert.ok(good.length > 500, `${good.length} intents`);
  assert.deepEqual(new Set(await verdicts(rig, good)), new Set(["accepted"]));
  assert.deepEqual(new Set(await verdicts(rig, bad)), new Set(["invalid_payload"]));
  await once(rig, good.length);
});

function role(instance: ServiceProcess): string | undefined {
  const lines = instance.logs.filter((line) => line.message === "consuming" || line.message === "standby");
  return lines.at(-1)?.message;
}

function the(instances: readonly ServiceProcess[], wanted: string): ServiceProcess {
  const found = instances.find((instance) => role(instance) === wanted);
  assert.ok(found !== undefined);
  return found;
}

/** Every intent has one record, one client event and one mail command, and there is nothing else. */
async function once(rig: Rig, intents: number): Promise<void> {
  const routes = await rig.query<{ id: string; channel: string; status: string; entry_id: string }>(
    `SELECT notification_id || '/' || route_id AS id, channel, status, published_entry_id AS entry_id
       FROM notification.routes`,
  );
  assert.deepEqual(new Set(routes.map((route) => route.status)), new Set(["published"]));
  const expected = (channel: string) =>
    routes.filter((route) => route.channel === channel).map((route) => `${route.id} ${route.entry_id}`).sort();
  const events = (await rig.clientEvents()).map(({ fields, entryId }) => `${fields["event_id"]} ${entryId}`);
  const commands = (await rig.mailCommands()).map(({ fields, entryId }) => `${fields["delivery_id"]} ${entryId}`);
  assert.deepEqual([events.length, commands.length], [intents, intents]);
  assert.deepEqual(events.sort(), expected("push"));
  assert.deepEqual(commands.sort(), expected("email"));
}
