/**
 * The consumer's offset: where it is kept, and what happens if it is missing, ahead, or from another stream
 * (docs/contract.md, section 6).
 */
import assert from "node:assert/strict";
import { ROUTE_LEASE_PATTERN, streamOffsetKey } from "../../src/redis/keys.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { validIntent } from "../support/intents.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const STREAM = "notification:intents";
const HASH = streamOffsetKey(STREAM);

Deno.test("row and hash have the last entry with an outcome and its ordinal", async () => {
  await using rig = await openRig();
  const before = Date.now();
  await rig.start();
  const entryIds = await add(rig, 5);
  entryIds.push(await rig.addIntent({ payload_json: "{}" }), await rig.addEntry([["garbage", "\0"]]));
  await rig.settled();
  const row = await rig.query<{ updated_at: Date }>(
    "SELECT stream, entry_id, entries_read, updated_at FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  assert.equal(row.length, 1);
  const { updated_at, ...rest } = row[0] ?? { updated_at: new Date(0) };
  assert.deepEqual(rest, { stream: STREAM, entry_id: entryIds.at(-1), entries_read: "7" });
  assert.ok(updated_at.getTime() >= before - 1 && updated_at.getTime() <= Date.now() + 1);
  await hashIs(rig, { entry_id: entryIds.at(-1) ?? "", entries_read: "7" });
});

Deno.test("a start resumes at the offset; also without the hash, and without the row by the hash", async () => {
  await using rig = await openRig();
  const first = await rig.start();
  const dealtWith = await add(rig, 3);
  await rig.settled();
  await first.terminate();

  // The entries that have an outcome would be malformed now.
  await rig.query("DELETE FROM notification.records WHERE stream_entry_id <> $1", [dealtWith.at(-1)]);
  rig.users.users.delete("user-1");
  const unread = [await rig.addIntent({ recipient_user_ids_json: '["user-2"]' })];
  await rig.redis.del(HASH);
  const second = await rig.start();
  await rig.settled();
  await hashIs(rig, { entry_id: unread[0] ?? "", entries_read: "4" });
  await second.terminate();

  await rig.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
  unread.push(await rig.addIntent({ recipient_user_ids_json: '["user-2"]' }));
  const third = await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [...dealtWith, ...unread]), [
    "duplicate", // it was not read again
    "duplicate",
    ...Array(3).fill("accepted"),
  ]);
  assert.deepEqual(await offsetRow(rig), { entry_id: unread[1], entries_read: "5" });
  for (const service of [second, third]) await quiet(service);
});

Deno.test("with neither row nor hash, reading starts at the beginning, and replay is harmless", async () => {
  await using rig = await openRig();
  const first = await rig.start();
  const entryIds = await add(rig, 4);
  await rig.settled();
  await first.terminate();
  await rig.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
  await rig.redis.del(HASH);
  const second = await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), Array(4).fill("accepted"));
  assert.equal((await rig.clientEvents()).length, 4);
  assert.deepEqual(await offsetRow(rig), { entry_id: entryIds[3], entries_read: "4" });
  await quiet(second);
});

Deno.test("a hash ahead of the row means lost commits: one warning, and the entries are read again", async () => {
  await using rig = await openRig();
  const first = await rig.start();
  const entryIds = await add(rig, 6);
  await rig.settled();
  await first.terminate();
  // The leases of published routes live for ten seconds, which must be enough for this.
  for (const lease of await rig.redis.keys(ROUTE_LEASE_PATTERN)) await rig.redis.pexpire(lease, 600_000);
  // PostgreSQL was restored to its state after the second entry.
  const [, kept] = entryIds;
  await rig.query(
    `DELETE FROM notification.routes WHERE notification_id IN (
       SELECT notification_id FROM notification.records WHERE stream_entry_id > $1)`,
    [kept],
  );
  await rig.query("DELETE FROM notification.records WHERE stream_entry_id > $1", [kept]);
  await rig.query(
    "UPDATE notification.stream_offsets SET entry_id = $1, entries_read = 2 WHERE stream = 'notification:intents'",
    [kept],
  );

  const second = await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), Array(6).fill("accepted"));
  await hashIs(rig, { entry_id: entryIds[5] ?? "", entries_read: "6" });
  await second.terminate();
  assert.deepEqual(complaints(second).map((line) => line.level), ["warn"]);
  // The leases show what was published before, for the life of a claim.
  assert.equal((await rig.clientEvents()).length, 6);
});

Deno.test("ids are compared as pairs of unsigned 64-bit numbers", async () => {
  await using rig = await openRig();
  const ids = ["9-0", "10-0", "10-9", "10-10", "9223372036854775807-18446744073709551615", "18446744073709551614-0"];
  const service = await rig.start();
  for (const id of ids) {
    await addWithId(rig, id);
    await rig.settled();
    await hashIs(rig, { entry_id: id, entries_read: String(ids.indexOf(id) + 1) });
  }
  await service.terminate();
  await addWithId(rig, "18446744073709551615-18446744073709551615");
  const second = await rig.start();
  await rig.settled();
  // The only expected warning: these ids do not show the time.
  const ahead = await second.waitForLog(({ message }) => message.startsWith("the ids of the intent stream are ahead"));
  assert.equal(ahead["stream_entry_id"], "18446744073709551615-18446744073709551615");
  const all = [...ids, "18446744073709551615-18446744073709551615"];
  assert.deepEqual(await verdicts(rig, all), all.map(() => "accepted"));
  await hashIs(rig, { entry_id: all.at(-1) ?? "", entries_read: "7" });
  await quiet(second);
});

for (const running of [true, false]) {
  const when = running ? "while the service runs" : "while it is stopped";
  Deno.test(`a new stream under the old name, with smaller ids, made ${when}`, async () => {
    await using rig = await openRig({ env: { NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "200ms" } });
    let service = await rig.start();
    await add(rig, 3);
    await rig.settled();
    if (!running) await service.terminate();
    await rig.redis.del(STREAM);
    await addWithId(rig, "5-1");
    await addWithId(rig, "5-2");
    if (!running) service = await rig.start();
    await rig.settled();
    assert.deepEqual(await verdicts(rig, ["5-1", "5-2"]), ["accepted", "accepted"]);
    assert.deepEqual(await offsetRow(rig), { entry_id: "5-2", entries_read: "2" });
    await hashIs(rig, { entry_id: "5-2", entries_read: "2" });
    await service.waitForLog((line) => line.level === "error");
    assert.deepEqual(complaints(service).map((line) => line.level), ["error"]);
    assert.doesNotMatch(service.output(), /trimmed unread/);

    await addWithId(rig, "5-3");
    await rig.settled();
    assert.deepEqual(await verdicts(rig, ["5-3"]), ["accepted"]);
    assert.equal(complaints(service).length, 1);
  });
}

Deno.test("a new stream under the old name, with larger ids, is read whole and without a false alarm", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "200ms" } });
  const service = await rig.start();
  await add(rig, 5);
  await rig.settled();
  await rig.redis.del(STREAM);
  const entryIds = await add(rig, 2);
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), ["accepted", "accepted"]);
  assert.deepEqual(await offsetRow(rig), { entry_id: entryIds[1], entries_read: "2" });
  await service.terminate();
  await quiet(await rig.start());
  assert.doesNotMatch(service.output(), /trimmed unread/);
});

Deno.test("a stream that is missing is no error", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "100ms" } });
  const service = await rig.start();
  await add(rig, 1);
  await rig.settled();
  await rig.redis.del(STREAM);
  await new Promise((resolve) => setTimeout(resolve, 300)); // reads without entries can't be observed
  assert.deepEqual(complaints(service), []);
  const entryIds = await add(rig, 1);
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), ["accepted"]);
});

async function add(rig: Rig, count: number): Promise<string[]> {
  const entryIds: string[] = [];
  for (let index = 0; index < count; index++) entryIds.push(await rig.addIntent());
  return entryIds;
}

async function addWithId(rig: Rig, id: string): Promise<void> {
  const fields = Object.entries(validIntent()).map(([name, value]) => [name, String(value)]);
  await rig.redis.xadd(STREAM, id, ...fields.flat());
}

async function offsetRow(rig: Rig): Promise<{ entry_id: string; entries_read: string } | undefined> {
  const [row] = await rig.query<{ entry_id: string; entries_read: string }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  return row;
}

/** The hash follows the commit. */
async function hashIs(rig: Rig, expected: Readonly<Record<string, string>>): Promise<void> {
  let found: Record<string, string> = {};
  await eventually(async () => (found = await rig.redis.hgetall(HASH))["entry_id"] === expected["entry_id"], {
    message: () => `The hash did not become ${JSON.stringify(expected)}, it is ${JSON.stringify(found)}`,
  });
  assert.deepEqual({ ...found }, expected);
}

/**
 * Warnings and errors, except those about Redis's persistence (the tests' Redis has none), malformed intents and ids of
 * the future.
 */
function complaints(service: ServiceProcess) {
  return service.logs.filter((line) =>
    (line.level === "warn" || line.level === "error") &&
    !/persistence|malformed|ahead of the clock/.test(JSON.stringify(line))
  );
}

async function quiet(service: ServiceProcess): Promise<void> {
  if (service.exitCode === undefined) await service.terminate();
  assert.deepEqual(complaints(service), []);
}
