/**
 * Nothing → the demo's users, administrators and intents, each intent with its expected outcome.
 *
 * Every kind of outcome is included: push, e-mail, both, administrators, skipped routes, duplicate, malformed.
 */
import type { User } from "../servers/user_service.ts";
import type { IntentFields } from "../../tests/support/intents.ts";

type RouteEnd = "published" | "skipped";

export type Expected =
  | { readonly kind: "accepted"; readonly routes: Readonly<Record<string, RouteEnd>> }
  | { readonly kind: "duplicate" }
  | { readonly kind: "malformed"; readonly code: string };

export interface DemoIntent {
  readonly producer: string;
  readonly type: string;
  readonly to: readonly string[] | "administrators";
  readonly key: string;
  readonly payload: string;
  /** A note for the reader on the special feature of this intent. */
  readonly note: string;
  readonly more?: IntentFields;
  readonly expected: Expected;
}

export const USERS: readonly (readonly [string, User])[] = [
  ["ada", { email: "ada@example.com", preferred_language: "en-GB" }],
  ["bruno", { email: "bruno@example.com", preferred_language: "de" }],
  ["chloe", { email: null, preferred_language: "fr" }],
];

/** Intentionally without an address for `geo.review_recommended`. */
export const ADMINISTRATORS = {
  NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED: "ops@example.com",
  NOTIFICATION_ADMIN_EMAILS_LOBBY_APPLICATION_SUBMITTED: "ops@example.com,lobby@example.com",
} as const;

const GAME = '"game_id":"g-17","game_name":"Nebula"';
// Numbers that a double cannot represent exactly, and a non-ASCII character: the text has to arrive unchanged.
const TURN = `{"turn_number":7,"seed":12345678901234567890,"score":1.10,${GAME}}`;
const INVITE = `{"inviter_name":"Ada ☃","inviter_user_id":"ada",${GAME}}`;
const APPLICATION = `{"applicant_name":"Chloe","applicant_user_id":"chloe",${GAME}}`;

export const INTENTS: readonly DemoIntent[] = [
  {
    ...{ producer: "game-master", type: "game.turn.ready", to: ["ada", "bruno"], key: "turn-7", payload: TURN },
    note: "two users, both ways",
    expected: accepted(["push:user:ada", "email:user:ada", "push:user:bruno", "email:user:bruno"]),
  },
  {
    ...{ producer: "game-master", type: "game.finished", to: ["chloe"], key: "finished" },
    payload: `{"final_turn_number":42,${GAME}}`,
    note: "no e-mail address",
    expected: accepted(["push:user:chloe"], ["email:user:chloe"]),
  },
  {
    ...{ producer: "game-lobby", type: "lobby.invite.created", to: ["bruno"], key: "invite-1", payload: INVITE },
    note: "with a trace context",
    more: { request_id: "req-1", traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
    expected: accepted(["push:user:bruno", "email:user:bruno"]),
  },
  {
    ...{ producer: "game-lobby", type: "lobby.invite.expired", to: ["ada"], key: "invite-0" },
    payload: `{"invitee_name":"Bruno","invitee_user_id":"bruno",${GAME}}`,
    note: "e-mail only",
    expected: accepted(["email:user:ada"]),
  },
  {
    ...{ producer: "notification-service", type: "notification.smoke_test", to: ["ada"], key: "smoke" },
    payload: '{"note":"hello"}',
    note: "push only",
    expected: accepted(["push:user:ada"]),
  },
  {
    ...{ producer: "game-lobby", type: "lobby.application.submitted", to: ["ada"], key: "application-1" },
    payload: APPLICATION,
    note: "the game's owner …",
    expected: accepted(["push:user:ada", "email:user:ada"]),
  },
  {
    ...{
      producer: "game-lobby",
      type: "lobby.application.submitted",
      to: "administrators",
      key: "application-1-admin",
    },
    payload: APPLICATION,
    note: "… two administrators",
    expected: accepted(["email:address:ops@example.com", "email:address:lobby@example.com"]),
  },
  {
    ...{ producer: "game-master", type: "game.generation_failed", to: "administrators", key: "failed-1" },
    payload: `{"failure_reason":"disk full",${GAME}}`,
    note: "one administrator",
    expected: accepted(["email:address:ops@example.com"]),
  },
  {
    ...{ producer: "geo-profile", type: "geo.review_recommended", to: "administrators", key: "review-1" },
    payload: '{"user_id":"bruno","observed_country":"AT","usual_country":"DE","review_reason":"new country"}',
    note: "none configured",
    expected: accepted([], ["email:config:geo.review_recommended"]),
  },
  {
    ...{ producer: "game-master", type: "game.turn.ready", to: ["bruno", "ada"], key: "turn-7", payload: TURN },
    note: "number 1 once more",
    expected: { kind: "duplicate" },
  },
  {
    ...{ producer: "game-lobby", type: "lobby.invite.created", to: ["bruno"], key: "invite-1" },
    payload: INVITE.replace("Ada ☃", "Eve"),
    note: "number 3's key again",
    expected: { kind: "malformed", code: "idempotency_conflict" },
  },
  {
    ...{
      producer: "game-lobby",
      type: "lobby.membership.approved",
      to: ["zoe"],
      key: "approved-1",
      payload: `{${GAME}}`,
    },
    note: "no such user",
    expected: { kind: "malformed", code: "recipient_not_found" },
  },
  {
    ...{ producer: "game-master", type: "game.turn.ready", to: ["ada"], key: "turn-8" },
    payload: `{"turn_number":"eight",${GAME}}`,
    note: "turn is not a number",
    expected: { kind: "malformed", code: "invalid_payload" },
  },
  {
    ...{ producer: "game-master", type: "game.turn.raedy", to: ["ada"], key: "turn-9", payload: TURN },
    note: "no such type",
    expected: { kind: "malformed", code: "unknown_notification_type" },
  },
  {
    ...{ producer: "game-lobby", type: "game.turn.ready", to: ["ada"], key: "turn-10", payload: TURN },
    note: "wrong producer",
    expected: { kind: "malformed", code: "producer_not_allowed" },
  },
];

/** Returns the fields of the entry, without the time of occurrence. */
export function fieldsOf({ type, producer, to, key, payload, more }: DemoIntent): IntentFields {
  return {
    notification_type: type,
    producer,
    audience_kind: to === "administrators" ? "admin_email" : "user",
    recipient_user_ids_json: to === "administrators" ? undefined : JSON.stringify(to),
    idempotency_key: key,
    payload_json: payload,
    ...more,
  };
}

function accepted(published: readonly string[], skipped: readonly string[] = []): Expected {
  const ends = (ids: readonly string[], end: RouteEnd) => ids.map((id) => [id, end] as const);
  return {
    kind: "accepted",
    routes: Object.fromEntries([...ends(published, "published"), ...ends(skipped, "skipped")]),
  };
}
