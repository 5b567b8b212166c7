/**
 * The consumer's offset is deleted while the service runs and while it is stopped, alone or with everything in Redis:
 * every entry still has one outcome, and nothing is published twice (docs/contract.md, section 6).
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { streamOffsetKey } from "../../src/redis/keys.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";

const STREAM = "notification:intents";
const HASH = streamOffsetKey(STREAM);
const QUICK = { NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "200ms" };

const loseHash = (rig: Rig) => rig.redis.del(HASH);
const loseRow = (rig: Rig) =>
  rig.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");

const LOSSES: Readonly<Record<string, (rig: Rig) => Promise<unknown>>> = {
  "the hash": loseHash,
  "the row": loseRow,
  "hash and row": (rig) => Promise.all([loseHash(rig), loseRow(rig)]),
};

for (const [what, lose] of Object.entries(LOSSES)) {
  Deno.test(`${what} lost, under a running service and a stopped one`, async () => {
    await using rig = await openRig({ env: QUICK });
    const running = await rig.start();
    const entryIds = await add(rig, 5);
    await rig.settled();
    await lose(rig);
    entryIds.push(...await add(rig, 3));
    await rig.settled();
    await dealtWithOnce(rig, entryIds);

    await running.terminate();
    await lose(rig);
    entryIds.push(...await add(rig, 3));
    const next = await rig.start();
    await rig.settled();
    await dealtWithOnce(rig, entryIds);
    assert.deepEqual(await offsetRow(rig), { entry_id: entryIds.at(-1), entries_read: String(entryIds.length) });
    await next.terminate();
    noAlarm(running);
    noAlarm(next);
  });
}

Deno.test("Redis flushed, under a running service and a stopped one", async () => {
  await using redisServer = await startRedis({ appendOnly: true });
  await using rig = await openRig({ redisServer, env: QUICK });
  const running = await rig.start();
  const before = await add(rig, 5);
  await rig.settled();
  await rig.redis.flushall();
  // Published routes are not published again; later ones are published once.
  const after = await add(rig, 3);
  await rig.settled();
  await dealtWithOnce(rig, after);
  assert.deepEqual(await verdicts(rig, before), Array(5).fill("accepted"));
  assert.deepEqual(await offsetRow(rig), { entry_id: after.at(-1), entries_read: "3" });

  await running.terminate();
  await rig.redis.flushall();
  const last = await add(rig, 2);
  const next = await rig.start();
  await rig.settled();
  await dealtWithOnce(rig, last);
  assert.deepEqual(await offsetRow(rig), { entry_id: last.at(-1), entries_read: "2" });
  await next.terminate();
  noAlarm(running);
  noAlarm(next);
});

Deno.test("a row that is set back under a running consumer: the entries after it keep their outcomes", async () => {
  await using rig = await openRig({ env: QUICK });
  const service = await rig.start();
  const entryIds = await add(rig, 6);
  await rig.settled();
  await rig.query(
    "UPDATE notification.stream_offsets SET entry_id = $1, entries_read = 2 WHERE stream = 'notification:intents'",
    [entryIds[1]],
  );
  entryIds.push(...await add(rig, 2));
  await rig.settled();
  await dealtWithOnce(rig, entryIds);
  assert.deepEqual(await offsetRow(rig), { entry_id: entryIds.at(-1), entries_read: "8" });
  await service.terminate();
  noAlarm(service);
});

async function add(rig: Rig, count: number): Promise<string[]> {
  const entryIds: string[] = [];
  for (let index = 0; index < count; index++) entryIds.push(await rig.addIntent());
  return entryIds;
}

/** Every one of the entries was accepted and published once, and the outbound streams hold nothing else. */
async function dealtWithOnce(rig: Rig, entryIds: readonly string[]): Promise<void> {
  assert.deepEqual(await verdicts(rig, entryIds), entryIds.map(() => "accepted"));
  const ids = await rig.query<{ id: string }>(
    "SELECT notification_id::text AS id FROM notification.records WHERE stream_entry_id = ANY ($1) ORDER BY 1",
    [entryIds],
  );
  const expected = ids.map(({ id }) => id);
  const notificationIds = (deliveryIds: (string | undefined)[]) => deliveryIds.map((id) => id?.split("/")[0]).sort();
  const events = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
  const commands = (await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]);
  assert.deepEqual(notificationIds(events), expected);
  assert.deepEqual(notificationIds(commands), expected);
}

async function offsetRow(rig: Rig): Promise<{ entry_id: string; entries_read: string } | undefined> {
  const [row] = await rig.query<{ entry_id: string; entries_read: string }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  return row;
}

function noAlarm(service: ServiceProcess): void {
  assert.doesNotMatch(service.output(), /trimmed unread|unexpected error/);
}
