/** The statement that accepts new intents: all of them or none. */
import assert from "node:assert/strict";
import { acceptBatch } from "../../src/intake/accept.ts";
import { insertIntents, type NewIntents } from "../../src/intake/insert_intents.ts";
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import { decode } from "../../src/notification/decode.ts";
import type { Intent } from "../../src/notification/intent.ts";
import { routesOf } from "../../src/notification/routing.ts";
import { BIRTH_CLAIM_MS } from "../../src/notification/route.ts";
import { validIntent } from "../support/intents.ts";
import { INTENTS, openStage, type Stage } from "../support/stage.ts";

const USERS = [{ userId: "u1", email: "u1@example.com", language: "en" }];

/** Entries 1-0, 2-0 … with these keys. */
function newIntents(keys: readonly string[], from = "0-0", stream = INTENTS): NewIntents {
  const candidates = keys.map((idempotency_key, at) => {
    const fields = Object.entries(validIntent({ idempotency_key })).flat() as string[];
    const intent = decode({ id: `${at + 1}-0`, fields }, embeddedCatalog()) as Intent;
    assert.equal(intent.kind, "intent");
    return { intent, routes: routesOf({ ...intent, users: USERS, administratorEmails: [] }) };
  });
  return {
    stream,
    from: { entryId: from, entriesRead: 0 },
    to: { entryId: `${keys.length}-0`, entriesRead: keys.length },
    candidates,
    maxAttempts: { push: 3, email: 7 },
  };
}

async function state(stage: Stage) {
  const count = (table: string) => stage.value(`SELECT count(*) FROM notification.${table}`);
  const offset = await stage.value(
    "SELECT max(entry_id) FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  return [offset, await count("records"), await count("routes")];
}

Deno.test("insertIntents() moves the offset and inserts records and routes born claimed, or changes nothing", async () => {
  await using stage = await openStage();
  const before = Date.now();
  const result = await insertIntents(stage.pool, newIntents(["a", "b"]));
  assert.equal(result.kind, "inserted");
  const { acceptedAtMs, claimedUntil } = result as Extract<typeof result, { kind: "inserted" }>;
  assert.ok(Number(acceptedAtMs) >= before - 1000 && Number(acceptedAtMs) <= Date.now() + 1000);
  assert.deepEqual(await state(stage), ["2-0", "2", "4"]);
  assert.deepEqual(
    await stage.query(
      `
      SELECT next_attempt_at = $1::timestamptz AS born, (extract(epoch FROM next_attempt_at - created_at) * 1000)::int AS life, max_attempts AS attempts
      FROM notification.routes GROUP BY 1, 2, 3 ORDER BY 3`,
      [claimedUntil],
    ),
    [{ born: true, life: BIRTH_CLAIM_MS, attempts: 3 }, { born: true, life: BIRTH_CLAIM_MS, attempts: 7 }],
  );

  const refused: [string, NewIntents][] = [
    ["offset_moved", newIntents(["c", "d"], "1-0")],
    ["not_all_new", newIntents(["c", "b", "e"], "2-0")],
  ];
  for (const [kind, intents] of refused) {
    assert.deepEqual((await insertIntents(stage.pool, intents)).kind, kind);
    assert.deepEqual(await state(stage), ["2-0", "2", "4"], kind);
  }
});

Deno.test("insertIntents() changes nothing if an entry is recorded as malformed", async () => {
  await using stage = await openStage();
  await stage.query(
    `INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields)
     VALUES ($1, '2-0', 'invalid_payload', 'by another catalog', '[]')`,
    [INTENTS],
  );
  assert.equal((await insertIntents(stage.pool, newIntents(["a", "b", "c"]))).kind, "not_all_new");
  assert.deepEqual(await state(stage), ["null", "0", "0"]);
});

Deno.test("insertIntents() moves the offset past entries that are all malformed", async () => {
  await using stage = await openStage();
  assert.equal(
    (await insertIntents(stage.pool, { ...newIntents([]), to: { entryId: "7-0", entriesRead: 7 } })).kind,
    "inserted",
  );
  assert.deepEqual(await state(stage), ["7-0", "0", "0"]);
});

Deno.test("acceptBatch() accepts the other intents when another stream's consumer inserts a key at the same time", async () => {
  await using stage = await openStage();
  const other = await stage.pool.connect();
  await other.query("BEGIN");
  await insertIntents(other, newIntents(["b"], "0-0", "notification:others"));
  const { candidates, ...move } = newIntents(["a", "b", "c"]);
  const accepting = acceptBatch(stage.pool, { ...move, judgement: { candidates, followers: [], rejected: [] } });
  // It waits for the other transaction's key.
  const waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  while (await stage.value(waits) === "0");
  await other.query("COMMIT");
  other.release();
  const result = await accepting;
  assert.ok(result.kind === "done");
  assert.deepEqual(result.accepted.map(({ intent }) => intent.idempotencyKey), ["a", "c"]);
  assert.deepEqual(result.duplicates.map(({ idempotencyKey }) => idempotencyKey), ["b"]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "3");
});
