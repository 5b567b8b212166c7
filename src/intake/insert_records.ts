/**
 * Candidates → rows of `records` and `routes`, in one statement.
 *
 * Within a transaction it inserts those whose key is free. By itself, where nobody can take anything back, it moves the
 * place as well, and does all of it or nothing.
 */
// @ts-types="@types/pg"
import pg from "pg";
import type { Intent } from "../notification/intent.ts";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";
import type { Acceptance } from "./accept.ts";
import type { Candidate } from "./judge.ts";

type Queryable = Pick<pg.ClientBase, "query">;

/**
 * Inserts the candidates whose key is free, with their routes; gives the ids of those inserted, or `all`, and when that was.
 * An entry that is recorded as malformed stays that, also when it is read again.
 */
export async function insertRecords(
  client: Queryable,
  acceptance: Acceptance,
): Promise<{ insertedIds: "all" | Set<string>; acceptedAtMs: string }> {
  const { candidates } = acceptance.judgement;
  if (candidates.length === 0) return { insertedIds: "all", acceptedAtMs: "" };
  const { rows } = await client.query<[number, string | null, string]>({
    name: "insert_records",
    rowMode: "array",
    text: INSERT_RECORDS,
    values: valuesOf(acceptance),
  });
  const [count, ids, acceptedAtMs] = rows[0]!;
  const insertedIds = count === candidates.length ? "all" : new Set(ids === null ? [] : ids.split(","));
  return { insertedIds, acceptedAtMs };
}

/**
 * Moves the place and inserts all candidates, with their routes; gives when that was. Changes nothing and gives nothing where
 * the place is another, a key has a record, or an entry is recorded as malformed.
 */
export async function insertAllOrNone(client: Queryable, acceptance: Acceptance): Promise<string | undefined> {
  const { from, to, judgement: { candidates } } = acceptance;
  try {
    const { rows } = await client.query<[number, null, string]>({
      name: "insert_all_or_none",
      rowMode: "array",
      text: INSERT_ALL_OR_NONE,
      values: [...valuesOf(acceptance), to.entryId, to.entriesRead ?? 0, from.entryId],
    });
    const [count, , acceptedAtMs] = rows[0]!;
    return count === candidates.length ? acceptedAtMs : undefined;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === DIVISION_BY_ZERO) return undefined;
    throw error;
  }
}

function valuesOf({ stream, judgement: { candidates }, maxAttempts }: Acceptance): (string | number)[] {
  return [
    SEPARATOR,
    stream,
    candidates.length,
    maxAttempts.push,
    maxAttempts.email,
    ...recordColumns(candidates),
    ...routeColumns(candidates),
  ];
}

// `IS TRUE` keeps the look-up among the accepted ids from becoming a join of two sets whose sizes the planner doesn't know;
// it is a hash table then.
const insertSql = ({ before, gate, check }: { before: string; gate: string; check: string }) => `
  WITH ${before} accepted AS (
    INSERT INTO notification.records (
      notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload, idempotency_key,
      request_fingerprint, stream, stream_entry_id, request_id, trace_id, traceparent, occurred_at, accepted_at)
    SELECT notification_id, notification_type, producer, audience_kind, recipient_user_ids::jsonb, payload::json,
      idempotency_key, decode(fingerprint, 'hex'), $2, entry_id, request_id, trace_id, traceparent,
      to_timestamp(occurred_at_ms / 1000.0), now()
    FROM unnest(
      string_to_array($6, $1, '')::uuid[], string_to_array($7, $1, ''), string_to_array($8, $1, ''),
      string_to_array($9, $1, ''), string_to_array($10, $1, ''), string_to_array($11, $1, ''),
      string_to_array($12, $1, ''), string_to_array($13, $1, ''), string_to_array($14, $1, ''),
      string_to_array($15, $1, ''), string_to_array($16, $1, ''), string_to_array($17, $1, ''),
      string_to_array($18, $1, '')::bigint[]
    ) AS intent (notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload,
      idempotency_key, fingerprint, entry_id, request_id, trace_id, traceparent, occurred_at_ms)
    WHERE ${gate} AND NOT EXISTS (
      SELECT FROM notification.malformed_intents AS malformed
      WHERE malformed.stream = $2 AND malformed.stream_entry_id = intent.entry_id)
    ON CONFLICT DO NOTHING
    RETURNING notification_id
  ), routed AS (
    INSERT INTO notification.routes (
      notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
      next_attempt_at, last_error_classification, created_at, updated_at)
    SELECT notification_id, route_id, channel, recipient, recipient_email, locale,
      CASE WHEN reason IS NULL THEN 'pending' ELSE 'skipped' END, 0,
      CASE channel WHEN 'push' THEN $4::int ELSE $5::int END,
      CASE WHEN reason IS NULL THEN now() END, reason, now(), now()
    FROM unnest(
      string_to_array($19, $1, '')::uuid[], string_to_array($20, $1, ''), string_to_array($21, $1, ''),
      string_to_array($22, $1, ''), string_to_array($23, $1, ''), string_to_array($24, $1, ''),
      string_to_array($25, $1, '')
    ) AS route (notification_id, route_id, channel, recipient, recipient_email, locale, reason)
    WHERE (notification_id IN (SELECT notification_id FROM accepted)) IS TRUE
  )
  SELECT count(*)::int, CASE WHEN count(*) < $3 THEN string_agg(notification_id::text, ',') END,
    floor(extract(epoch FROM now()) * 1000)::text, ${check}
  FROM accepted`;

const INSERT_RECORDS = insertSql({ before: "", gate: "true", check: "NULL" });

/** With what the statement takes itself back where some were inserted and others not, which only a race leads to. */
const DIVISION_BY_ZERO = "22012";

// A key that has a record is seen before anything is done, so that a duplicate is no error in PostgreSQL's log.
const INSERT_ALL_OR_NONE = insertSql({
  before: `
  taken AS (
    SELECT FROM unnest(string_to_array($8, $1, ''), string_to_array($12, $1, '')) AS intent (producer, idempotency_key),
      LATERAL (
        SELECT FROM notification.records AS record
        WHERE record.producer = intent.producer AND record.idempotency_key = intent.idempotency_key
        OFFSET 0
      ) AS record
    LIMIT 1
  ), moved AS (
    INSERT INTO notification.stream_offsets AS place (stream, entry_id, entries_read, updated_at)
    SELECT $2, $26, $27::bigint, now() WHERE NOT EXISTS (SELECT FROM taken)
    ON CONFLICT (stream) DO UPDATE
    SET entry_id = excluded.entry_id, entries_read = excluded.entries_read, updated_at = excluded.updated_at
    WHERE place.entry_id = $28
    RETURNING entry_id
  ),`,
  gate: "EXISTS (SELECT FROM moved)",
  check: "CASE WHEN EXISTS (SELECT FROM moved) AND count(*) < $3 THEN 1 / (count(*) * 0) END",
});

function recordColumns(candidates: readonly Candidate[]): string[] {
  const column = (valueOf: (intent: Intent) => string | number) =>
    joinColumn(candidates.map(({ intent }) => valueOf(intent)));
  return [
    column((intent) => intent.notificationId),
    column((intent) => intent.type.name),
    column((intent) => intent.producer),
    column((intent) => intent.audienceKind),
    column((intent) => JSON.stringify(intent.recipientUserIds)),
    column((intent) => intent.payload),
    column((intent) => intent.idempotencyKey),
    column((intent) => intent.fingerprint),
    column((intent) => intent.entry.id),
    column((intent) => intent.requestId),
    column((intent) => intent.traceId),
    column((intent) => intent.traceparent),
    column((intent) => intent.occurredAtMs),
  ];
}

function routeColumns(candidates: readonly Candidate[]): string[] {
  const columns: string[][] = [[], [], [], [], [], [], []];
  const [ids, routeIds, channels, recipients, emails, locales, reasons] = columns as [
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
  ];
  for (const { intent, routes } of candidates) {
    for (const route of routes) {
      ids.push(intent.notificationId);
      routeIds.push(route.routeId);
      channels.push(route.channel);
      recipients.push(route.recipient);
      emails.push(route.recipientEmail);
      locales.push(route.locale);
      reasons.push(route.skipped ?? "");
    }
  }
  return columns.map(joinColumn);
}
