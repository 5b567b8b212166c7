/**
 * Redis's master changes behind an address that moves: all connections of the service follow, also the one that never
 * writes; nothing is lost or published twice, and no stream counts as another one (docs/contract.md, section 6).
 */
import assert from "node:assert/strict";
import type { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { validIntent } from "../support/intents.ts";
import { MovingAddress } from "../support/moving_address.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { startReplica } from "../support/redis_replica.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

/** What happens to the old master after the replica was promoted and the address moved. */
const OLD_MASTERS: readonly { name: string; treat: (old: Redis, next: RedisServer) => Promise<unknown> }[] = [
  { name: "becomes a replica", treat: (old, next) => old.call("REPLICAOF", next.host, next.port) },
  { name: "goes on as a master, and loses one connection", treat: (old) => killOne(old) },
  { name: "ends", treat: (old) => old.call("SHUTDOWN", "NOSAVE").catch(() => {}) },
];

for (const { name, treat } of OLD_MASTERS) {
  Deno.test(`after a switchover by a moving address the service follows, and the old master ${name}`, async () => {
    await using old = await startRedis({ appendOnly: true });
    await using next = await startReplica(old);
    await using address = await MovingAddress.open(old.port);
    await using otlp = await OtlpReceiver.start();
    const rig = await openRig({ redisServer: next });
    try {
      await using service = await rig.spawn({
        ...otlp.env,
        NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${address.port}`,
        NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "1h",
      });
      await service.ready();
      const client = await openRedis(old);
      const entryIds: string[] = [];
      for (let intents = 0; intents < 3; intents++) entryIds.push(await addTo(client));
      await eventually(async () => (await published(rig, entryIds)) === 6, { message: () => service.output() });
      // Master and replica have the same data.
      await client.call("WAIT", 1, 5_000);

      const errors = () => service.logs.filter(({ level }) => level === "error");
      await rig.redis.call("REPLICAOF", "NO", "ONE");
      address.target = next.port;
      await treat(client, next);
      await closeRedis(client);
      for (let intents = 0; intents < 3; intents++) entryIds.push(await rig.addIntent());
      await rig.settled();
      assert.deepEqual(await verdicts(rig, entryIds), entryIds.map(() => "accepted"));
      assert.equal(await published(rig, entryIds), 12);
      assert.deepEqual(errors(), []);
      // Also the connection that only reads and waits, and that of the gauges.
      await eventually(async () => {
        const clients = String(await rig.redis.call("CLIENT", "LIST"));
        return ["blocking-read", "gauges"].every((role) => clients.includes(`name=notification-service/${role} `));
      });
      assert.equal((await service.terminate()).code, 0);
    } finally {
      await rig[Symbol.asyncDispose]();
    }
  });
}

async function addTo(client: Redis): Promise<string> {
  const fields = Object.entries(validIntent()).flat() as string[];
  return await client.xadd("notification:intents", "*", ...fields) as string;
}

/** The service's connection that publishes pushes. */
async function killOne(client: Redis): Promise<void> {
  const list = String(await client.call("CLIENT", "LIST"));
  const id = /^id=(\d+) .*name=notification-service\/push /m.exec(list)?.[1];
  assert.ok(id !== undefined, list);
  await client.call("CLIENT", "KILL", "ID", id);
}

/** Outbound entries of the intents; each has its two at the first attempt, or this throws. */
async function published(rig: Rig, entryIds: readonly string[]): Promise<number> {
  let entries = 0;
  for (const entryId of entryIds) {
    const { routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.ok(clientEvents.length <= 1 && mailCommands.length <= 1);
    for (const route of routes) assert.equal(route.attempt_count, route.status === "published" ? 1 : 0);
    entries += clientEvents.length + mailCommands.length;
  }
  return entries;
}
