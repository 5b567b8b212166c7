/**
 * The SQL and the scripts of the floor: those of the service (src/intake, src/publish) without the parts for unusual
 * cases. The rows, the used indexes and the outbound entries are the same.
 */
import { ROUTE_LEASES } from "../../src/redis/keys.ts";
import { INTENTS } from "./fill.ts";

/**
 * The life of a lease before the outcome of its route is written to PostgreSQL (NOTIFICATION_ROUTE_LEASE_TTL), and
 * after that.
 */
const LEASE_MS = 168 * 60 * 60 * 1000;
const FINISHED_LEASE_MS = 10_000;

/**
 * $1 is the separator of the values in the following parameters. Routes are inserted as claimed by this process for two
 * seconds. Fingerprints have the same size as the service's. Returns the time of acceptance in milliseconds.
 */
export const INSERT = `
  WITH intent AS (
    SELECT *
    FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1), string_to_array($4, $1),
      string_to_array($5, $1), string_to_array($6, $1), string_to_array($7, $1), string_to_array($8, $1)::bigint[],
      string_to_array($9, $1), string_to_array($10, $1))
      AS entry (notification_id, entry_id, type, producer, recipients, key, occurred_at_ms, payload, request_id)
  ), moved AS (
    INSERT INTO notification.stream_offsets AS known (stream, entry_id, entries_read)
    VALUES ('${INTENTS}', $11, $12)
    ON CONFLICT (stream) DO UPDATE
    SET entry_id = excluded.entry_id, entries_read = known.entries_read + excluded.entries_read, updated_at = now()
  ), accepted AS (
    INSERT INTO notification.records (
      notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload, idempotency_key,
      request_fingerprint, stream, stream_entry_id, request_id, occurred_at, accepted_at)
    SELECT notification_id, type, producer, 'user', recipients::jsonb, payload::json, key,
      sha256(convert_to(payload, 'UTF8')), '${INTENTS}', entry_id, request_id,
      to_timestamp(occurred_at_ms / 1000.0), now()
    FROM intent
    ON CONFLICT DO NOTHING
    RETURNING notification_id, recipient_user_ids ->> 0 AS user_id
  ), routed AS (
    INSERT INTO notification.routes (
      notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
      next_attempt_at, created_at, updated_at)
    SELECT notification_id, channel || ':user:' || user_id, channel, 'user:' || user_id,
      CASE channel WHEN 'email' THEN user_id || '@example.com' END, 'en', 'pending', 0, max_attempts,
      now() + interval '2 seconds', now(), now()
    FROM accepted, (VALUES ('push', 3), ('email', 7)) AS delivery (channel, max_attempts)
  )
  SELECT floor(extract(epoch FROM now()) * 1000)::text`;

/** $1 is the separator; $2 to $5 are the notification ids, the users, and the entry ids of both channels. */
export const WRITE_OUTCOMES = `
  UPDATE notification.routes AS route
  SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    published_entry_id = outcome.entry_id, updated_at = now()
  FROM (
    SELECT notification_id, delivery.route_id, delivery.entry_id
    FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1), string_to_array($4, $1),
        string_to_array($5, $1)) AS intent (notification_id, user_id, push_entry_id, email_entry_id),
      LATERAL (VALUES ('push:user:' || user_id, push_entry_id), ('email:user:' || user_id, email_entry_id))
        AS delivery (route_id, entry_id)
  ) AS outcome
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.next_attempt_at IS NOT NULL`;

// Values are arguments; the field names are in the script. CPU time of process and Redis for each intent, medians of 21
// rounds on a busy machine: 43 µs with arguments, 47 µs with one JSON text. MessagePack, or lengths for `struct.unpack`
// (8 rounds each), are not measurably cheaper than arguments. A JSON text that also contains the field names costs 59
// µs instead of 52 (8 rounds).
const handOff = ({ values, fields }: { values: readonly string[]; fields: string }) => `
local answers, stream = {}, KEYS[1]
for at = 1, #ARGV, ${values.length} do
  local ${values.join(", ")} = unpack(ARGV, at, at + ${values.length - 1})
  local key = '${ROUTE_LEASES}' .. id
  local lease = redis.call('GET', key)
  if lease then
    answers[#answers + 1] = string.sub(lease, 11)
  else
    local entry = redis.call('XADD', stream, '*', ${fields})
    redis.call('SET', key, 'published:' .. entry, 'PX', ${LEASE_MS})
    answers[#answers + 1] = entry
  end
end
return answers`;

/** The arguments are delivery ids. */
export const SHORTEN_LEASES = `
for _, id in ipairs(ARGV) do redis.call('PEXPIRE', '${ROUTE_LEASES}' .. id, ${FINISHED_LEASE_MS}) end`;

/** The values of each route, in the order of the script's arguments. Each script returns the entry ids. */
export const HAND_OFF = {
  push: handOff({
    values: ["id", "user", "type", "payload", "occurred", "request"],
    fields: `'user_id', user, 'event_type', type, 'event_id', id, 'payload_bytes', payload, 'occurred_at_ms', occurred,
      'request_id', request`,
  }),
  email: handOff({
    values: ["id", "requested", "payload", "request"],
    fields: `'delivery_id', id, 'source', 'notification', 'payload_mode', 'template',
      'idempotency_key', 'notification:' .. id, 'requested_at_ms', requested, 'payload_json', payload,
      'request_id', request`,
  }),
} as const;
