/** The statement that accepts a small batch by itself: all of it, or nothing at all. */
import assert from "node:assert/strict";
import type { Acceptance } from "../../src/intake/accept.ts";
import { insertAllOrNone } from "../../src/intake/insert_records.ts";
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import { decode } from "../../src/notification/decode.ts";
import type { Intent } from "../../src/notification/intent.ts";
import { routesOf } from "../../src/notification/routing.ts";
import { validIntent } from "../support/intents.ts";
import { INTENTS, openStage, type Stage } from "../support/stage.ts";

const USERS = [{ userId: "u1", email: "u1@example.com", language: "en" }];

/** Entries 1-0, 2-0 … with these keys. */
function acceptanceOf(keys: readonly string[], from = "0-0"): Acceptance {
  const candidates = keys.map((idempotency_key, at) => {
    const fields = Object.entries(validIntent({ idempotency_key })).flat() as string[];
    const intent = decode({ id: `${at + 1}-0`, fields }, embeddedCatalog()) as Intent;
    assert.equal(intent.kind, "intent");
    return { intent, routes: routesOf({ ...intent, users: USERS, administratorEmails: [] }) };
  });
  return {
    stream: INTENTS,
    from: { entryId: from, entriesRead: 0 },
    to: { entryId: `${keys.length}-0`, entriesRead: keys.length },
    judgement: { candidates, followers: [], rejected: [] },
    maxAttempts: { push: 3, email: 7 },
  };
}

async function state(stage: Stage) {
  const count = (table: string) => stage.value(`SELECT count(*) FROM notification.${table}`);
  const place = await stage.value("SELECT max(entry_id) FROM notification.stream_offsets");
  return [place, await count("records"), await count("routes")];
}

Deno.test("insertAllOrNone() moves the place and inserts records and routes, or changes nothing", async () => {
  await using stage = await openStage();
  const before = Date.now();
  const acceptedAtMs = Number(await insertAllOrNone(stage.pool, acceptanceOf(["a", "b"])));
  assert.ok(acceptedAtMs >= before - 1000 && acceptedAtMs <= Date.now() + 1000);
  assert.deepEqual(await state(stage), ["2-0", "2", "4"]);

  const refused: [string, Acceptance][] = [
    ["the place is another", acceptanceOf(["c", "d"], "1-0")],
    ["a key has a record", acceptanceOf(["c", "b", "e"], "2-0")],
  ];
  for (const [why, acceptance] of refused) {
    assert.equal(await insertAllOrNone(stage.pool, acceptance), undefined, why);
    assert.deepEqual(await state(stage), ["2-0", "2", "4"], why);
  }
});

Deno.test("insertAllOrNone() takes back what it did where only the insertion sees what stands against an entry", async () => {
  await using stage = await openStage();
  await stage.query(
    `INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields)
     VALUES ($1, '2-0', 'invalid_payload', 'by another catalog', '[]')`,
    [INTENTS],
  );
  assert.equal(await insertAllOrNone(stage.pool, acceptanceOf(["a", "b", "c"])), undefined);
  assert.deepEqual(await state(stage), ["null", "0", "0"]);
});
