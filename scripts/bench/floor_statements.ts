// The SQL and the script of the floor: those of the service (src/intake/accept.ts, src/publish) without what is only there
// for the unusual case. Rows, indexes touched and outbound entries are the same.

import { INTENTS } from "./fill.ts";

/** The life that the service leaves to the lease of a route that is published. */
const LEASE_MS = 10_000;

// Ids have the service's form and fingerprints its size; they are made where it costs the script's own thread nothing.
export const INSERT = `
  WITH intent AS (
    SELECT overlay(overlay(lpad(to_hex(split_part(entry_id, '-', 1)::bigint), 12, '0') ||
          left(encode(sha256(convert_to(producer, 'UTF8') || '\\x00' || convert_to(key, 'UTF8')), 'hex'), 20)
        PLACING '7' FROM 13) PLACING 'a' FROM 17)::uuid AS notification_id, *
    FROM unnest(string_to_array($2, $1), string_to_array($3, $1), string_to_array($4, $1), string_to_array($5, $1),
      string_to_array($6, $1), string_to_array($7, $1)::bigint[], string_to_array($8, $1), string_to_array($9, $1))
      AS entry (entry_id, type, producer, recipients, key, occurred_at_ms, payload, request_id)
  ), place AS (
    INSERT INTO notification.stream_offsets AS place (stream, entry_id, entries_read)
    VALUES ('${INTENTS}', $10, $11)
    ON CONFLICT (stream) DO UPDATE
    SET entry_id = excluded.entry_id, entries_read = place.entries_read + excluded.entries_read, updated_at = now()
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
  )
  INSERT INTO notification.routes (
    notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
    next_attempt_at, created_at, updated_at)
  SELECT notification_id, channel || ':user:' || user_id, channel, 'user:' || user_id,
    CASE channel WHEN 'email' THEN user_id || '@example.com' END, 'en', 'pending', 0, max_attempts, now(), now(), now()
  FROM accepted, (VALUES ('push', 3), ('email', 7)) AS delivery (channel, max_attempts)`;

export const CLAIM = `
  WITH due AS MATERIALIZED (
    SELECT notification_id, route_id, recipient, recipient_email, locale, routes.ctid AS place
    FROM notification.routes
    WHERE channel = $1 AND next_attempt_at <= now()
    ORDER BY next_attempt_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
  )
  SELECT due.notification_id::text, route_id, substr(recipient, 6), recipient_email, locale, notification_type,
    payload::text, (extract(epoch FROM occurred_at) * 1000)::bigint::text, request_id,
    (extract(epoch FROM accepted_at) * 1000)::bigint::text, due.place::text
  FROM due JOIN notification.records USING (notification_id)`;

export const RECORD = `
  UPDATE notification.routes AS route
  SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    published_entry_id = outcome.entry_id, updated_at = now()
  FROM unnest(string_to_array($2, $1)::tid[], string_to_array($3, $1)) AS outcome (place, entry_id)
  WHERE route.ctid = outcome.place`;

export const HAND_OFF = `
local answers, at, count = {}, 1, tonumber(ARGV[1])
for i = 2, #KEYS do
  local lease = redis.call('GET', KEYS[i])
  if lease then
    answers[i - 1] = string.sub(lease, 11)
  else
    local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + count))
    redis.call('SET', KEYS[i], 'published:' .. id, 'PX', ${LEASE_MS})
    answers[i - 1] = id
  end
  at = at + count
end
return answers`;
