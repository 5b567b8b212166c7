/**
 * The rows of an accepted intent: the columns of records and routes (docs/contract.md, sections 4 and 5), the form of
 * notification_id, and routes that are skipped from the beginning.
 */
import assert from "node:assert/strict";
import type { User } from "../../scripts/servers/user_service.ts";
import { validIntent } from "../support/intents.ts";
import { outcomeOf } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { testOnOneRig } from "../support/shared_rig.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ATTEMPTS = { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "4", NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "6" };
const DAY_MS = 24 * 60 * 60 * 1000;

testOnOneRig("Records and routes", { env: ATTEMPTS }, {
  "a record has the producer's values, and the stream and entry": async ({ rig }) => {
    const payload = '{ "game_name":"N", "game_id":"g", "turn_number":12345678901234567890, "a":1.10, "a":"☃" }';
    const before = Date.now();
    const entryId = await rig.addIntent({
      recipient_user_ids_json: '["user-2","user-1","user-2"]',
      idempotency_key: "key ☃",
      occurred_at_ms: "1767225600123",
      payload_json: payload,
      request_id: "r",
      trace_id: "t",
      traceparent: TRACEPARENT,
    });
    await rig.settled();
    const { record } = await outcomeOf(rig, entryId);
    assert.ok(record !== undefined);
    const { notification_id, accepted_at, request_fingerprint, recipient_user_ids, ...rest } = record;
    assert.match(notification_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(accepted_at.getTime() >= before - 1 && accepted_at.getTime() <= Date.now() + 1);
    assert.equal(request_fingerprint.length, 32);
    assert.deepEqual([...recipient_user_ids].sort(), ["user-1", "user-2"]);
    assert.deepEqual(rest, {
      notification_type: "game.turn.ready",
      producer: "game-master",
      audience_kind: "user",
      payload,
      idempotency_key: "key ☃",
      stream: "notification:intents",
      stream_entry_id: entryId,
      request_id: "r",
      trace_id: "t",
      traceparent: TRACEPARENT,
      occurred_at: new Date(1767225600123),
    });
  },

  "missing values are null, and an administrators' record has no recipients": async ({ rig }) => {
    const entryId = await rig.addIntent({
      notification_type: "lobby.runtime_paused_after_start",
      producer: "game-lobby",
      audience_kind: "admin_email",
      recipient_user_ids_json: "",
      payload_json: '{"game_id":"g","game_name":"N"}',
      request_id: "",
    });
    await rig.settled();
    const { record } = await outcomeOf(rig, entryId);
    assert.deepEqual([record?.request_id, record?.trace_id, record?.traceparent], [null, null, null]);
    assert.deepEqual([record?.audience_kind, record?.recipient_user_ids], ["admin_email", []]);
  },

  "published routes have the outbound entry's id and one attempt": async ({ rig }) => {
    const entryId = await rig.addIntent();
    await rig.settled();
    const { record, routes, clientEvents, mailCommands, deadLetters } = await outcomeOf(rig, entryId);
    const [email, push] = routes;
    assert.ok(email !== undefined && push !== undefined && routes.length === 2);
    for (const { created_at, updated_at } of routes) {
      assert.ok(created_at >= new Date((record?.accepted_at.getTime() ?? 0) - 1000) && updated_at >= created_at);
      assert.ok(updated_at <= new Date(Date.now() + 1));
    }
    assert.deepEqual(without(push, "created_at", "updated_at", "locale"), {
      notification_id: record?.notification_id,
      route_id: "push:user:user-1",
      channel: "push",
      recipient: "user:user-1",
      recipient_email: null,
      status: "published",
      attempt_count: 1,
      max_attempts: 4,
      next_attempt_at: null,
      last_error_classification: null,
      last_error_message: null,
      published_entry_id: clientEvents[0]?.entryId,
    });
    assert.deepEqual(without(email, "created_at", "updated_at"), {
      notification_id: record?.notification_id,
      route_id: "email:user:user-1",
      channel: "email",
      recipient: "user:user-1",
      recipient_email: "user-1@example.com",
      locale: "de",
      status: "published",
      attempt_count: 1,
      max_attempts: 6,
      next_attempt_at: null,
      last_error_classification: null,
      last_error_message: null,
      published_entry_id: mailCommands[0]?.entryId,
    });
    assert.deepEqual(deadLetters, []);
  },

  "an administrator's type without addresses gets one skipped route": async ({ rig }) => {
    const entryId = await rig.addIntent({
      notification_type: "game.generation_failed",
      audience_kind: "admin_email",
      recipient_user_ids_json: undefined,
      payload_json: '{"game_id":"g","game_name":"N","failure_reason":"r"}',
    });
    await rig.settled();
    const { routes, mailCommands } = await outcomeOf(rig, entryId);
    assert.equal(routes.length, 1);
    const { route_id, channel, recipient, recipient_email, status, last_error_classification } = routes[0] ?? {};
    assert.deepEqual({ route_id, channel, recipient, recipient_email, status, last_error_classification }, {
      route_id: "email:config:game.generation_failed",
      channel: "email",
      recipient: "config:game.generation_failed",
      recipient_email: null,
      status: "skipped",
      last_error_classification: "admin_emails_not_configured",
    });
    assert.deepEqual([routes[0]?.attempt_count, routes[0]?.next_attempt_at], [0, null]);
    assert.deepEqual(mailCommands, []);
  },

  "a user without a usable address gets only the push": async ({ rig }) => {
    const unusable: readonly User[] = [
      {},
      { email: null },
      { email: "" },
      { email: "no-at-sign" },
      { email: "white space@example.com" },
      { email: "line\nbreak@example.com" },
      { email: "no-break\u00a0space@example.com" },
      { email: "nul\0@example.com" },
      { email: "lone\ud800@example.com" },
      { email: `${"x".repeat(309)}@example.com` },
    ];
    const usable = { email: `${"😀".repeat(308)}@example.com` };
    const ids = [...unusable, usable].map((user, index) => {
      rig.users.users.set(`reader-${index}`, user);
      return `reader-${index}`;
    });
    // JSON.stringify writes a lone surrogate as an escape, so the stand-in's answer is valid UTF-8.
    const entryId = await rig.addIntent({ recipient_user_ids_json: JSON.stringify(ids) });
    await rig.settled();
    const { routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.equal(clientEvents.length, ids.length);
    assert.deepEqual(mailCommands.map(({ payload }) => payload.to), [[usable.email]]);
    for (const [index, user] of unusable.entries()) {
      const email = routes.find((route) => route.route_id === `email:user:reader-${index}`);
      const { status, last_error_classification, next_attempt_at, recipient, published_entry_id } = email ?? {};
      assert.deepEqual({ status, last_error_classification, next_attempt_at, recipient, published_entry_id }, {
        status: "skipped",
        last_error_classification: "recipient_email_missing",
        next_attempt_at: null,
        recipient: `user:reader-${index}`,
        published_entry_id: null,
      }, JSON.stringify(user));
    }
  },

  "the limits of occurred_at_ms": async ({ rig }) => {
    const times = ["946684800000", String(Date.UTC(2100, 0, 1) - 1)];
    const entryIds = await Promise.all(times.map((occurred_at_ms) => rig.addIntent({ occurred_at_ms })));
    await rig.settled();
    for (const [index, entryId] of entryIds.entries()) {
      const { record, clientEvents } = await outcomeOf(rig, entryId);
      assert.equal(String(record?.occurred_at.getTime()), times[index]);
      assert.equal(clientEvents[0]?.fields["occurred_at_ms"], times[index]);
    }
  },
});

Deno.test("notification_id is made from the entry's millisecond and the hash of producer and key", async () => {
  await using rig = await openRig();
  const now = Date.now();
  // 2^48 and the last id a stream can have: the millisecond is taken modulo 2^48.
  const entryIds = [`${now}-0`, `${now + DAY_MS}-7`, "281474976710661-3", "18446744073709551615-1"];
  for (const id of entryIds) {
    const fields = Object.entries(validIntent({ idempotency_key: `key of ${id}` }));
    await rig.redis.xadd("notification:intents", id, ...fields.flatMap(([name, value]) => [name, String(value)]));
  }
  await rig.start();
  await rig.settled();
  const found: string[] = [];
  for (const entryId of entryIds) {
    const { record, clientEvents } = await outcomeOf(rig, entryId);
    assert.equal(clientEvents.length, 1);
    found.push(record?.notification_id ?? "none");
  }
  assert.deepEqual(found, await Promise.all(entryIds.map((id) => expectedId(id, `game-master\0key of ${id}`))));
});

/** A version 7 UUID: 48 bits of time, then the first 80 bits of the hash with version and variant written over them. */
async function expectedId(entryId: string, hashed: string): Promise<string> {
  const time = BigInt(entryId.split("-")[0] ?? "") % (1n << 48n);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(hashed)));
  const bits = digest.subarray(0, 10).reduce((sum, byte) => sum << 8n | BigInt(byte), 0n);
  const value = time << 80n | bits & ~(0xfn << 76n | 3n << 62n) | 7n << 76n | 2n << 62n;
  const hex = value.toString(16).padStart(32, "0");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function without<T extends object>(row: T, ...columns: readonly (keyof T)[]): Partial<T> {
  const copy: Partial<T> = { ...row };
  for (const column of columns) delete copy[column];
  return copy;
}
