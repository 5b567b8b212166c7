/**
 * Changes of an intent → the fields of a valid intent with these changes.
 *
 * Without changes it is a `game.turn.ready` for `user-1` with a new idempotency key.
 */

/** An entry's fields; `undefined` leaves one out. */
export type IntentFields = Readonly<Record<string, string | Uint8Array | undefined>>;

export function validIntent(changes: IntentFields = {}): IntentFields {
  return {
    notification_type: "game.turn.ready",
    producer: "game-master",
    audience_kind: "user",
    recipient_user_ids_json: '["user-1"]',
    idempotency_key: crypto.randomUUID(),
    occurred_at_ms: "1767225600000",
    payload_json: '{"game_id":"game-1","game_name":"Nebula","turn_number":7}',
    ...changes,
  };
}
