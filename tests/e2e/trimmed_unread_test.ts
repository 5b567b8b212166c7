/**
 * Entries that were trimmed unread can't be recovered, but are always reported; there is no alarm about entries that
 * were read (docs/contract.md, section 6).
 */
import assert from "node:assert/strict";
import { refuse } from "../../scripts/servers/user_service.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const STREAM = "notification:intents";
const SLOW = { NOTIFICATION_USER_SERVICE_TIMEOUT: "30s" };

Deno.test("entries trimmed while the service was stopped are counted, and the ordinal is corrected", async () => {
  await using rig = await openRig();
  const first = await rig.start();
  await add(rig, 5);
  await rig.settled();
  await first.terminate();
  const entryIds = await add(rig, 10);
  await rig.redis.xtrim(STREAM, "MAXLEN", 4);
  const second = await rig.start();
  await rig.settled();
  await alarms(second, 6);
  assert.deepEqual(await verdicts(rig, entryIds.slice(6)), Array(4).fill("accepted"));
  assert.deepEqual(await offsetRow(rig), { entry_id: entryIds[9], entries_read: "15" });

  // It is reported once.
  await add(rig, 1);
  await rig.settled();
  await second.terminate();
  await add(rig, 1);
  const third = await rig.start();
  await rig.settled();
  assert.equal((await offsetRow(rig))?.entries_read, "17");
  await third.terminate();
  await alarms(second, 6);
  await alarms(third);
});

Deno.test("entries that were deleted unread, in the middle or all of them, count too", async () => {
  await using rig = await openRig();
  const first = await rig.start();
  await add(rig, 2);
  await rig.settled();
  await first.terminate();
  await rig.redis.xtrim(STREAM, "MAXLEN", 0);
  const some = await add(rig, 5);
  await rig.redis.xdel(STREAM, some[1] ?? "", some[3] ?? "");
  const second = await rig.start();
  await rig.settled();
  await alarms(second, 2);
  assert.equal((await offsetRow(rig))?.entries_read, "7");
  await second.terminate();

  await add(rig, 3);
  await rig.redis.xtrim(STREAM, "MAXLEN", 0);
  const third = await rig.start();
  await alarms(third, 3);
  const [last] = await add(rig, 1);
  await rig.settled();
  assert.deepEqual(await offsetRow(rig), { entry_id: last, entries_read: "11" });
  await third.terminate();
  await alarms(third, 3);
});

Deno.test("entries trimmed while the service runs are counted, also those that wait in a stall", async () => {
  await using rig = await openRig({ env: SLOW });
  const service = await rig.start();
  await add(rig, 1);
  await rig.settled();
  const lookUps = holdLookUps(rig);
  const [inHand] = await add(rig, 1);
  await eventually(() => rig.users.inFlight.now > 0);
  // The second is being accepted; the others are unread.
  const behind = await add(rig, 8);
  await rig.redis.xtrim(STREAM, "MAXLEN", 3);
  lookUps.resolve();
  await rig.settled();
  await alarms(service, 5);
  assert.deepEqual(await verdicts(rig, [inHand ?? "", ...behind.slice(5)]), Array(4).fill("accepted"));
  assert.equal((await offsetRow(rig))?.entries_read, "10");

  rig.users.behaviour = () => refuse(500, "broken");
  const asked = rig.users.requestedIds.length;
  await add(rig, 4);
  await eventually(() => rig.users.requestedIds.length > asked);
  await rig.redis.xtrim(STREAM, "MAXLEN", 0);
  await alarms(service, 5, 4);
});

Deno.test("there is no alarm when producers trim entries that were read or are being accepted", async () => {
  await using rig = await openRig({ env: SLOW });
  const service = await rig.start();
  await add(rig, 5);
  await rig.settled();
  await rig.redis.xtrim(STREAM, "MAXLEN", 2);
  await add(rig, 5);
  await rig.settled();
  await rig.redis.xtrim(STREAM, "MAXLEN", 0);
  await rig.redis.xdel(STREAM, "0-1");
  await add(rig, 1);
  await rig.settled();

  // A batch of five is being accepted while its entries are trimmed and others arrive.
  await service.terminate();
  const lookUps = holdLookUps(rig);
  const inHand = await add(rig, 5);
  const second = await rig.start();
  await eventually(() => rig.users.inFlight.now > 0);
  await rig.redis.xtrim(STREAM, "MAXLEN", 0);
  const behind = await add(rig, 2);
  lookUps.resolve();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [...inHand, ...behind]), Array(7).fill("accepted"));
  assert.equal((await offsetRow(rig))?.entries_read, "18");

  // After every entry, all entries that were read except the last.
  for (let round = 0; round < 20; round++) {
    await rig.addIntent();
    await rig.settled();
    await rig.redis.xtrim(STREAM, "MAXLEN", 1);
  }
  await second.terminate();
  await alarms(service);
  await alarms(second);
});

Deno.test("the first start on a stream that was trimmed before is no alarm: it is the baseline", async () => {
  await using rig = await openRig();
  await add(rig, 10);
  await rig.redis.xtrim(STREAM, "MAXLEN", 3);
  const service = await rig.start();
  await rig.settled();
  assert.equal((await offsetRow(rig))?.entries_read, "10");
  assert.equal((await rig.clientEvents()).length, 3);
  await service.terminate();
  await alarms(service);
  await add(rig, 4);
  await rig.redis.xtrim(STREAM, "MAXLEN", 1);
  const second = await rig.start();
  await rig.settled();
  await alarms(second, 3);
});

async function add(rig: Rig, count: number): Promise<string[]> {
  const entryIds: string[] = [];
  for (let index = 0; index < count; index++) entryIds.push(await rig.addIntent());
  return entryIds;
}

async function offsetRow(rig: Rig): Promise<{ entry_id: string; entries_read: string } | undefined> {
  const [row] = await rig.query<{ entry_id: string; entries_read: string }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  return row;
}

/** Look-ups get no answer until the promise is resolved, and then a valid one. */
function holdLookUps(rig: Rig): { resolve: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.users.behaviour = async (id) => {
    await promise;
    return Response.json({ user: { user_id: id, email: "user@example.com" } });
  };
  return { resolve };
}

/** One error line for each number, and no other. */
async function alarms(service: ServiceProcess, ...numbers: readonly number[]): Promise<void> {
  const lines = () => service.logs.filter((line) => line.message.includes("trimmed unread"));
  await eventually(() => lines().length >= numbers.length, { message: () => service.output() });
  assert.equal(lines().length, numbers.length, service.output());
  for (const [index, line] of lines().entries()) {
    assert.equal(line.level, "error");
    assert.match(JSON.stringify(line), new RegExp(`\\b${numbers[index]}\\b`));
  }
}
