/**
 * The producer module: the service decodes what it encodes, an intent that would be malformed is refused before
 * anything is sent, and the types allow what the catalog allows.
 */
import assert from "node:assert/strict";
import { embeddedCatalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import { type AnyIntent, encodeIntent, IntentRefused, publishIntent } from "./producer.ts";

const INTENT = {
  type: "game.turn.ready",
  producer: "game-master",
  audience: "user",
  recipientUserIds: ["u1", "u2"],
  idempotencyKey: "turn-12",
  occurredAt: new Date(1767225600000),
  payload: { game_id: "g", game_name: "Seven", turn_number: 12, extra: ["kept"] },
  requestId: "r",
} as const satisfies AnyIntent;

Deno.test("encodeIntent() returns fields that decode to the same intent", () => {
  const decoded = decode({ id: "1-1", fields: encodeIntent(INTENT) }, embeddedCatalog());
  assert.ok(decoded.kind === "intent");
  assert.equal(decoded.type.name, INTENT.type);
  assert.deepEqual(decoded.recipientUserIds, INTENT.recipientUserIds);
  assert.equal(decoded.occurredAtMs, 1767225600000);
  assert.deepEqual(JSON.parse(decoded.payload), INTENT.payload);
  assert.deepEqual([decoded.requestId, decoded.traceId], ["r", ""]);
});

Deno.test("encodeIntent() sends administrators' intents without recipients", () => {
  const fields = encodeIntent({
    type: "game.generation_failed",
    producer: "game-master",
    audience: "admin_email",
    idempotencyKey: "k",
    occurredAt: 1767225600000,
    payload: { game_id: "g", game_name: "Seven", failure_reason: "no seed" },
  });
  assert.ok(!fields.includes("recipient_user_ids_json"));
});

Deno.test("encodeIntent() refuses an intent that would be malformed, with the service's own code", () => {
  const refused = (changes: Partial<AnyIntent>) => {
    try {
      encodeIntent({ ...INTENT, ...changes } as AnyIntent);
      return "accepted";
    } catch (error) {
      if (!(error instanceof IntentRefused)) throw error;
      return error.code;
    }
  };
  assert.equal(refused({}), "accepted");
  assert.equal(refused({ idempotencyKey: "" }), "invalid_fields");
  assert.equal(refused({ recipientUserIds: [] } as Partial<AnyIntent>), "invalid_recipients");
  assert.equal(refused({ occurredAt: NaN }), "invalid_occurred_at");
  assert.equal(refused({ payload: { ...INTENT.payload, turn_number: 0 } }), "invalid_payload");
});

Deno.test("publishIntent() checks and appends an intent, and returns the entry's id", async () => {
  const calls: string[][] = [];
  const redis = {
    xadd: (...args: string[]) => {
      calls.push(args);
      return Promise.resolve("7-0");
    },
  };
  assert.equal(await publishIntent(redis, INTENT), "7-0");
  assert.deepEqual(calls, [["notification:intents", "*", ...encodeIntent(INTENT)]]);
  assert.equal(await publishIntent(redis, INTENT, { stream: "other" }), "7-0");
  await assert.rejects(publishIntent(redis, { ...INTENT, idempotencyKey: "" }), IntentRefused);
  assert.equal(calls.length, 2);
});
