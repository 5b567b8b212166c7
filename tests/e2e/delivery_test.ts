/**
 * The entries in the outbound streams for a valid intent: every audience and channel, the exact fields
 * (docs/contract.md, section 7), and the producer's own text, digit for digit.
 */
import assert from "node:assert/strict";
import type { User } from "../../scripts/servers/user_service.ts";
import { type IntentFields, validIntent } from "../support/intents.ts";
import { type Outcome, outcomeOf } from "../support/outcome.ts";
import { testOnOneRig } from "../support/shared_rig.ts";
import type { Rig } from "../support/rig.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const GAME = '"game_id":"g-1","game_name":"Nebula"';

/**
 * Type → producer, the other members of the payload, channels per audience (docs/contract.md, section 2, the embedded
 * catalog).
 */
const CATALOG: readonly (readonly [string, string, string, { user?: string; admin_email?: string }])[] = [
  ["game.turn.ready", "game-master", `${GAME},"turn_number":1`, { user: "email push" }],
  ["game.finished", "game-master", `${GAME},"final_turn_number":1`, { user: "email push" }],
  ["game.generation_failed", "game-master", `${GAME},"failure_reason":"r"`, { admin_email: "email" }],
  ["lobby.runtime_paused_after_start", "game-lobby", GAME, { admin_email: "email" }],
  ["lobby.application.submitted", "game-lobby", `${GAME},"applicant_user_id":"u","applicant_name":"n"`, {
    user: "email push",
    admin_email: "email",
  }],
  ["lobby.membership.approved", "game-lobby", GAME, { user: "email push" }],
  ["lobby.membership.rejected", "game-lobby", GAME, { user: "email push" }],
  ["lobby.invite.created", "game-lobby", `${GAME},"inviter_user_id":"u","inviter_name":"n"`, { user: "email push" }],
  ["lobby.invite.redeemed", "game-lobby", `${GAME},"invitee_user_id":"u","invitee_name":"n"`, { user: "email push" }],
  ["lobby.invite.expired", "game-lobby", `${GAME},"invitee_user_id":"u","invitee_name":"n"`, { user: "email" }],
  ["notification.smoke_test", "notification-service", '"note":"n"', { user: "push" }],
  [
    "geo.review_recommended",
    "geo-profile",
    '"user_id":"u","observed_country":"AT","usual_country":"DE","review_reason":"r"',
    { admin_email: "email" },
  ],
];

const ADMINISTRATORS = Object.fromEntries(
  CATALOG.filter(([, , , audiences]) => audiences.admin_email !== undefined).map(([type]) => [
    `NOTIFICATION_ADMIN_EMAILS_${type.toUpperCase().replaceAll(".", "_")}`,
    "Ops@Example.com,second@example.com,ops@example.com",
  ]),
);

testOnOneRig("Delivery", { env: ADMINISTRATORS }, {
  "a user gets one client event and one mail command with exactly the contract's fields": async ({ rig }) => {
    const payload = `{"game_name" : "Nebula ☃ é \\u2603", "seed":12345678901234567890,"score":1.10, "tiny":-0.0e-7,` +
      ` "z":{"b":[1.0,{}],"a":null},\t"turn_number":12345678901234567890, "game_id":"g \\/ 1"}`;
    const { record, clientEvents, mailCommands } = await deliver(rig, {
      payload_json: payload,
      occurred_at_ms: "1767225600123",
      request_id: "req-☃",
      trace_id: "trace-1",
      traceparent: TRACEPARENT,
    });
    const id = record?.notification_id;
    assert.deepEqual(clientEvents.map(({ fields }) => fields), [{
      user_id: "user-1",
      event_type: "game.turn.ready",
      event_id: `${id}/push:user:user-1`,
      payload_bytes: payload,
      occurred_at_ms: "1767225600123",
      request_id: "req-☃",
      trace_id: "trace-1",
      traceparent: TRACEPARENT,
    }]);
    assert.deepEqual(mailCommands.map(({ fields }) => fields), [{
      delivery_id: `${id}/email:user:user-1`,
      source: "notification",
      payload_mode: "template",
      idempotency_key: `notification:${id}/email:user:user-1`,
      requested_at_ms: String(Math.floor(record?.accepted_at.getTime() ?? 0)),
      payload_json: '{"to": ["user-1@example.com"], "cc": [], "bcc": [], "reply_to": [], "attachments": [], ' +
        `"template_id": "game.turn.ready", "locale": "de", "variables": ${payload}}`,
      request_id: "req-☃",
      trace_id: "trace-1",
      traceparent: TRACEPARENT,
    }]);
  },

  "fields that the producer did not set are left out": async ({ rig }) => {
    const absent = await deliver(rig, {});
    const empty = await deliver(rig, { request_id: "", trace_id: "", traceparent: "" });
    for (const { clientEvents: [event], mailCommands: [command] } of [absent, empty]) {
      assert.deepEqual(Object.keys(event?.fields ?? {}).sort(), [
        "event_id",
        "event_type",
        "occurred_at_ms",
        "payload_bytes",
        "user_id",
      ]);
      assert.deepEqual(Object.keys(command?.fields ?? {}).sort(), [
        "delivery_id",
        "idempotency_key",
        "payload_json",
        "payload_mode",
        "requested_at_ms",
        "source",
      ]);
    }
  },

  "every type of the default catalog goes to its channels": async ({ rig }) => {
    const sent: { name: string; entryId: string; channels: string }[] = [];
    for (const [type, producer, members, audiences] of CATALOG) {
      for (const [audience, channels] of Object.entries(audiences)) {
        const entryId = await rig.addIntent({
          notification_type: type,
          producer,
          audience_kind: audience,
          recipient_user_ids_json: audience === "user" ? '["user-2"]' : undefined,
          payload_json: `{${members}}`,
        });
        sent.push({ name: `${type} ${audience}`, entryId, channels });
      }
    }
    await rig.settled();
    for (const { name, entryId, channels } of sent) {
      const { routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
      assert.equal([...new Set(routes.map((route) => route.channel))].sort().join(" "), channels, name);
      assert.deepEqual(new Set(routes.map((route) => route.status)), new Set(["published"]), name);
      assert.equal(clientEvents.length + mailCommands.length, routes.length, name);
      assert.equal(mailCommands[0]?.payload.template_id ?? "none", channels === "push" ? "none" : name.split(" ")[0]);
    }
  },

  "each administrator gets a mail command, in English, the address in lower case and once": async ({ rig }) => {
    const { record, routes, clientEvents, mailCommands } = await deliver(rig, {
      notification_type: "game.generation_failed",
      audience_kind: "admin_email",
      recipient_user_ids_json: "[]",
      payload_json: `{${GAME},"failure_reason":"disk full"}`,
    });
    assert.deepEqual(clientEvents, []);
    assert.deepEqual(routes.map((route) => route.route_id), [
      "email:address:ops@example.com",
      "email:address:second@example.com",
    ]);
    const ids = mailCommands.map(({ fields }) => fields["delivery_id"]);
    assert.deepEqual(ids.sort(), routes.map((route) => `${record?.notification_id}/${route.route_id}`));
    assert.deepEqual(mailCommands.flatMap(({ payload }) => payload.to).sort(), [
      "ops@example.com",
      "second@example.com",
    ]);
    assert.deepEqual(new Set(mailCommands.map(({ payload }) => payload.locale)), new Set(["en"]));
  },

  "a language that is missing or unusable becomes en": async ({ rig }) => {
    const readers: readonly (readonly [User, string])[] = [
      [{ preferred_language: "fr-CA" }, "fr-CA"],
      [{}, "en"],
      [{ preferred_language: null }, "en"],
      [{ preferred_language: "" }, "en"],
      [{ preferred_language: "not a language" }, "en"],
      [{ preferred_language: "x".repeat(10_000) }, "en"],
    ];
    const ids = readers.map(([user], index) => {
      rig.users.users.set(`reader-${index}`, { email: `reader-${index}@example.com`, ...user });
      return `reader-${index}`;
    });
    const { mailCommands } = await deliver(rig, { recipient_user_ids_json: JSON.stringify(ids) });
    const locales = new Map(mailCommands.map(({ payload }) => [payload.to[0], payload.locale]));
    assert.deepEqual(ids.map((id) => locales.get(`${id}@example.com`)), readers.map(([, locale]) => locale));
  },

  "user ids are looked up as one path segment and published unchanged": async ({ rig }) => {
    const ids = ["a/b?c#d%20e", "ü ☃\t+&=", "..x", "%2e%2e", "__proto__", "x".repeat(128), "😀".repeat(128), '"\\'];
    for (const id of ids) rig.users.users.set(id, { email: "reader@example.com" });
    const { record, clientEvents, mailCommands } = await deliver(rig, {
      recipient_user_ids_json: JSON.stringify(ids),
    });
    assert.deepEqual(clientEvents.map(({ fields }) => fields["user_id"]).sort(), [...ids].sort());
    assert.equal(mailCommands.length, ids.length);
    assert.deepEqual([...record?.recipient_user_ids ?? []].sort(), [...ids].sort());
  },

  "an address with characters that JSON escapes stays intact": async ({ rig }) => {
    const email = '"quo\\"te☃"@example.com';
    rig.users.users.set("quoted", { email });
    const { mailCommands } = await deliver(rig, { recipient_user_ids_json: '["quoted"]' });
    assert.deepEqual(mailCommands[0]?.payload.to, [email]);
  },

  "a traceparent that is unusable is ignored, whatever is wrong with it": async ({ rig }) => {
    const unusable = [
      "nonsense",
      TRACEPARENT.toUpperCase(),
      TRACEPARENT.slice(0, -1),
      `${TRACEPARENT}-more`,
      ` ${TRACEPARENT}`,
      TRACEPARENT.replace(/^00/, "ff"),
      TRACEPARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0".repeat(32)),
      TRACEPARENT.replace("00f067aa0ba902b7", "0".repeat(16)),
      "x".repeat(300),
      "00-\0",
      new Uint8Array([0x30, 0xff, 0xfe]),
    ];
    const entryIds = await Promise.all(unusable.map((traceparent) => rig.addIntent({ traceparent })));
    await rig.settled();
    for (const [index, entryId] of entryIds.entries()) {
      const { record, malformed, clientEvents } = await outcomeOf(rig, entryId);
      assert.equal(malformed, undefined, `traceparent number ${index}`);
      assert.equal(record?.traceparent, null);
      assert.equal(clientEvents[0]?.fields["traceparent"], undefined);
    }
  },

  "two traceparents count as none": async ({ rig }) => {
    const fields: [string, string][] = [...entriesOf({}), ["traceparent", TRACEPARENT], ["traceparent", TRACEPARENT]];
    const entryId = await rig.addEntry(fields);
    await rig.settled();
    const { record, malformed } = await outcomeOf(rig, entryId);
    assert.deepEqual([malformed, record?.traceparent], [undefined, null]);
  },

  "unknown fields are ignored, whatever they contain": async ({ rig }) => {
    const bytes = new Uint8Array([0, 0xff, 0xfe, 0xc0]);
    const fields: [string | Uint8Array, string | Uint8Array][] = [
      ["__proto__", "x"],
      ["constructor", "x"],
      ["", ""],
      [bytes, bytes],
      ["note", "once"],
      ["note", "twice"],
      ["\0", "\0"],
      ["huge", "x".repeat(2 * 1024 * 1024)],
      ["notification_id", "mine"],
    ];
    const valid = { idempotency_key: crypto.randomUUID(), payload_json: `{${GAME},"turn_number":2}` };
    const entryId = await rig.addEntry([...fields, ...entriesOf(valid), ...fields]);
    await rig.settled();
    const { record, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.equal(record?.idempotency_key, valid.idempotency_key);
    assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  },

  "the replacement character, a byte order mark and a separator are ordinary characters": async ({ rig }) => {
    const text = "\ufffd\ufeff\u2028é";
    const payload = `{${GAME},"turn_number":2,"text":"${text}"}`;
    const { record, clientEvents: [event], mailCommands: [command] } = await deliver(rig, {
      idempotency_key: `\ufeff${text}`,
      request_id: text,
      payload_json: payload,
    });
    assert.equal(record?.idempotency_key, `\ufeff${text}`);
    assert.deepEqual([event?.fields["payload_bytes"], event?.fields["request_id"]], [payload, text]);
    assert.ok(command?.fields["payload_json"]?.endsWith(`"variables": ${payload}}`));
  },

  "10,000 recipients of one intent all get their routes, once": async ({ rig }) => {
    const ids = Array.from({ length: 10_000 }, (_, index) => `crowd-${index}`);
    for (const id of ids) rig.users.users.set(id, { email: `${id}@example.com` });
    const { routes, clientEvents, mailCommands } = await deliver(rig, {
      recipient_user_ids_json: JSON.stringify(ids),
    });
    assert.equal(routes.length, 20_000);
    assert.deepEqual([clientEvents.length, mailCommands.length], [10_000, 10_000]);
    assert.equal(new Set(clientEvents.map(({ fields }) => fields["user_id"])).size, 10_000);
    assert.equal(new Set(mailCommands.map(({ payload }) => payload.to[0])).size, 10_000);
  },
});

async function deliver(rig: Rig, changes: IntentFields): Promise<Outcome> {
  const entryId = await rig.addIntent(changes);
  await rig.settled();
  const outcome = await outcomeOf(rig, entryId);
  assert.equal(outcome.malformed, undefined);
  return outcome;
}

function entriesOf(changes: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(validIntent(changes)).map(([name, value]) => [name, String(value)]);
}
