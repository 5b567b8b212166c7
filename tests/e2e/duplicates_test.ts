/**
 * One producer, one key: which requests are the same and which conflict, also within one batch (docs/contract.md,
 * section 4).
 */
import assert from "node:assert/strict";
import type { IntentFields } from "../support/intents.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";

const PAYLOAD =
  '{"game_id":"g","game_name":"Aé☃","turn_number":1,"more":{"b":[1.10,{"y":1,"x":2}],"a":null,"n":12345678901234567890}}';

/** The same request, written differently. */
const SAME: Readonly<Record<string, IntentFields>> = {
  "word for word": {},
  "recipients in another order, one twice": { recipient_user_ids_json: ' ["user-1", "user-2", "\\u0075ser-1"]' },
  "another time": { occurred_at_ms: "1767225600001" },
  "another request": { request_id: "r2", trace_id: "t2" },
  "another trace": { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
  "unknown fields": { note: "new" },
  "members in another order, with white space and escapes": {
    payload_json: ' {"turn_number" : 1,\n"game_name":"A\\u00e9\\u2603","game_id":"\\u0067",' +
      '"more":{"n":12345678901234567890,"a":null,"b":[ 1.10, {"x":2,"y":1} ] }}',
  },
  "the last of repeated members counts": {
    payload_json: PAYLOAD.replace('"turn_number":1', '"turn_number":9,"turn_number":1'),
  },
};

const DIFFERENT: Readonly<Record<string, IntentFields>> = {
  "another value": { payload_json: PAYLOAD.replace('"turn_number":1', '"turn_number":2') },
  "a number written differently": { payload_json: PAYLOAD.replace("1.10", "1.1") },
  "a digit that no double holds": { payload_json: PAYLOAD.replace("12345678901234567890", "12345678901234567891") },
  "another order in an array": { payload_json: PAYLOAD.replace('[1.10,{"y":1,"x":2}]', '[{"y":1,"x":2},1.10]') },
  "one more member": { payload_json: PAYLOAD.replace('"a":null', '"a":null,"c":null') },
  "a number as a text": { payload_json: PAYLOAD.replace("1.10", '"1.10"') },
  "characters composed otherwise": { payload_json: PAYLOAD.replace("é", "e\u0301") },
  "fewer recipients": { recipient_user_ids_json: '["user-1"]' },
  "other recipients": { recipient_user_ids_json: '["user-1","user-3"]' },
  "another type": {
    notification_type: "game.finished",
    payload_json: PAYLOAD.replace('"turn_number":1', '"turn_number":1,"final_turn_number":1'),
  },
};

Deno.test("duplicates and conflicts are the same in one batch, in many, and after a restart", async () => {
  await using rig = await openRig({ otherUsers: () => ({}) });
  const cases = { ...SAME, ...DIFFERENT };
  const expected = Object.keys(cases).map((name) => name in SAME ? "duplicate" : "idempotency_conflict");
  const sendAll = async (key: string) => {
    const entryIds: string[] = [];
    for (const changes of Object.values(cases)) entryIds.push(await send(rig, key, changes));
    return entryIds;
  };

  const first = await send(rig, "one batch");
  const together = await sendAll("one batch");
  const service = await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [first, ...together]), ["accepted", ...expected]);

  const alone = await send(rig, "another batch");
  await rig.settled();
  const later = await sendAll("another batch");
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [alone, ...later]), ["accepted", ...expected]);

  await service.terminate();
  const after = await sendAll("one batch");
  await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, after), expected);

  // Two intents were accepted; each has two recipients with two routes each.
  assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [4, 4]);
  const { record } = await outcomeOf(rig, first);
  assert.deepEqual([record?.payload, record?.request_id, record?.trace_id], [PAYLOAD, "r", null]);
});

Deno.test("many copies of a few intents in one batch make a few records", async () => {
  await using rig = await openRig();
  for (let index = 0; index < 400; index++) await send(rig, `key ${index % 7}`);
  await rig.start();
  await rig.settled();
  const [counts] = await rig.query(
    `SELECT (SELECT count(*)::int FROM notification.records) AS records,
            (SELECT count(*)::int FROM notification.malformed_intents) AS malformed`,
  );
  assert.deepEqual(counts, { records: 7, malformed: 0 });
  assert.equal((await rig.clientEvents()).length, 14);
});

Deno.test("a key belongs to its producer and is compared as it is written", async () => {
  await using rig = await openRig();
  const lobby = { producer: "game-lobby", notification_type: "lobby.membership.approved" };
  const entryIds = [
    await send(rig, "key"),
    await send(rig, "key", lobby),
    ...await Promise.all(["Key", "key ", " key", "\ufeffkey", "ke\u0301y", "kéy"].map((key) => send(rig, key))),
    await send(rig, "key", lobby),
  ];
  await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), [...Array(8).fill("accepted"), "duplicate"]);
});

Deno.test("the key is looked at before the recipients are looked up", async () => {
  await using rig = await openRig();
  const first = [await send(rig, "key"), await send(rig, "free", { recipient_user_ids_json: '["nobody"]' })];
  const second = [
    await send(rig, "key", { recipient_user_ids_json: '["nobody"]' }), // the key is taken, in this very batch
    await send(rig, "free"), // the key is free: the first intent was malformed
    await send(rig, "free", { recipient_user_ids_json: '["nobody"]' }),
    await send(rig, "also free", { recipient_user_ids_json: '["nobody","user-1"]' }),
    await send(rig, "also free", { recipient_user_ids_json: '["nobody"]' }),
  ];
  await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, first), ["accepted", "recipient_not_found"]);
  assert.deepEqual(await verdicts(rig, second), [
    "idempotency_conflict",
    "accepted",
    "idempotency_conflict",
    "recipient_not_found",
    "recipient_not_found",
  ]);

  // The user no longer exists when the request is repeated: it is a duplicate all the same.
  rig.users.users.delete("user-2");
  const repeated = [await send(rig, "key"), await send(rig, "key", { recipient_user_ids_json: '["nobody"]' })];
  await rig.settled();
  assert.deepEqual(await verdicts(rig, repeated), ["duplicate", "idempotency_conflict"]);
});

async function send(rig: Rig, idempotency_key: string, changes: IntentFields = {}): Promise<string> {
  return await rig.addIntent({
    idempotency_key,
    recipient_user_ids_json: '["user-2","user-1"]',
    payload_json: PAYLOAD,
    request_id: "r",
    ...changes,
  });
}
