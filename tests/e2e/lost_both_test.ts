/**
 * Redis comes back with less than it acknowledged, and PostgreSQL is restored to a time before this was found: the
 * offset then counts entries that the intent stream does not have, and entries that are missing in the outbound streams
 * count as published (docs/contract.md, section 11).
 */
import assert from "node:assert/strict";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { addAndPublish, keepAppendOnlyFile, untilPublished } from "../support/losses.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

async function restore(postgres: Postgres, copy: string): Promise<void> {
  await postgres.stop("immediate");
  await postgres.restoreData(copy);
  await postgres.start();
}

/** Each route is in its stream once, as the entry that PostgreSQL names. */
async function eachOnce(rig: Rig, routes: number): Promise<void> {
  const found = [
    ...(await rig.clientEvents()).map(({ entryId, fields }) => `${fields["event_id"]} ${entryId}`),
    ...(await rig.mailCommands()).map(({ entryId, fields }) => `${fields["delivery_id"]} ${entryId}`),
  ];
  const known = await rig.query<{ route: string }>(
    "SELECT notification_id || '/' || route_id || ' ' || published_entry_id AS route FROM notification.routes",
  );
  assert.equal(found.length, routes);
  assert.deepEqual(found.sort(), known.map(({ route }) => route).sort());
}

Deno.test("Redis's loss is found again when PostgreSQL has lost that it was found", async () => {
  await using redisServer = await startRedis({ appendOnly: true });
  await using postgres = await startPostgres();
  await using rig = await openRig({ redisServer, postgresServer: postgres });
  const service = await rig.start();
  await addAndPublish(rig, 3, 6);
  const copyOfOffset = () => rig.redis.hget("notification:stream_offset:notification:intents", "entries_read");
  await eventually(async () => await copyOfOffset() === "3");
  const loseTail = await keepAppendOnlyFile(redisServer);
  await addAndPublish(rig, 4, 14);
  const copy = `${postgres.dataDir}-copy`;
  await postgres.copyData(copy);
  await loseTail();
  await eventually(() => rig.redis.ping());
  // The entries that Redis lost are published again.
  await eventually(async () => (await rig.clientEvents()).length === 7, { timeoutMs: 30_000 });
  await addAndPublish(rig, 6, 26);
  await eventually(async () => await copyOfOffset() === "9");

  await restore(postgres, copy);
  await untilPublished(rig, 26);
  await rig.settled();
  await addAndPublish(rig, 1, 28);
  await eachOnce(rig, 28);
  assert.doesNotMatch(service.output(), /another stream/);
  const [offset] = await rig.query<{ entries_read: string }>(
    "SELECT entries_read::text FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  assert.equal(offset!.entries_read, "10");
  assert.equal((await service.terminate()).code, 0);
});
