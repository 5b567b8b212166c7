/** Examples for tests: a valid intent's fields, entries made of them, and a claimed route. */
import type { ClaimedRoute } from "../../src/notification/route.ts";
import type { FieldValue, StreamEntry } from "../../src/notification/stream_entry.ts";

export const VALID_FIELDS = {
  notification_type: "game.turn.ready",
  producer: "game-master",
  audience_kind: "user",
  recipient_user_ids_json: '["user-1","user-2"]',
  idempotency_key: "turn-54",
  occurred_at_ms: "1763000000000",
  payload_json: '{"game_id":"g-1","game_name":"Nova","turn_number":54}',
} as const;

/** Fields of a valid intent for administrators. */
export const ADMINISTRATOR_FIELDS = {
  notification_type: "game.generation_failed",
  audience_kind: "admin_email",
  recipient_user_ids_json: undefined,
  payload_json: '{"game_id":"g-1","game_name":"Nova","failure_reason":"no seed"}',
} as const;

export type Changes = Readonly<Record<string, FieldValue | undefined>>;

/** A valid intent's fields with changes; `undefined` removes a field. */
export function fieldsWith(changes: Changes = {}): FieldValue[] {
  const fields = Object.entries({ ...VALID_FIELDS, ...changes });
  return fields.flatMap(([name, value]) => value === undefined ? [] : [name, value]);
}

export function entryWith(changes: Changes = {}, id = "1763000000001-0"): StreamEntry {
  return { id, fields: fieldsWith(changes) };
}

/** A value that was cut, as `exact_entry.ts` makes it. */
export function cutValue(head: string | Uint8Array, length = 20_000_000): FieldValue {
  return { head: typeof head === "string" ? new TextEncoder().encode(head) : head, length, sha256: "5".repeat(64) };
}

type RouteChanges = Partial<Omit<ClaimedRoute, "record">> & { readonly record?: Partial<ClaimedRoute["record"]> };

export function claimedRoute(changes: RouteChanges = {}): ClaimedRoute {
  return {
    routeId: "push:user:user-1",
    recipient: "user:user-1",
    recipientEmail: "",
    locale: "",
    attemptCount: 0,
    maxAttempts: 3,
    claimedUntil: "2025-11-13 02:13:22+00",
    ...changes,
    record: {
      notificationId: "019a79be-5801-7c4f-9d0a-4f5a7d3f1f7e",
      notificationType: "game.turn.ready",
      producer: "game-master",
      audienceKind: "user",
      payload: VALID_FIELDS.payload_json,
      occurredAtMs: "1763000000000",
      acceptedAtMs: "1763000000123",
      requestId: "",
      traceId: "",
      traceparent: "",
      streamEntryId: "1763000000001-0",
      ...changes.record,
    },
  };
}
