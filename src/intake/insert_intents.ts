/**
 * New intents → rows of `records` and `routes`, and the moved offset, in one statement: all of it or nothing. The
 * routes are born claimed by this process (`relay/batch.ts`).
 */
import type pg from "pg";
import { BIRTH_CLAIM_MS, type Channel } from "../notification/route.ts";
import { bigint, rows, text, uuid } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { moveOffsetSql, OFFSET_MOVE, type OffsetMove, offsetMoveValues } from "../stream_offset/stream_offset.ts";
import type { Candidate } from "./judge.ts";
import { IS_SAME_ENTRY } from "./malformed_before.ts";

export interface NewIntents extends OffsetMove {
  readonly candidates: readonly Candidate[];
  readonly maxAttempts: Readonly<Record<Channel, number>>;
}

export type InsertResult =
  | {
    readonly kind: "inserted";
    /** By PostgreSQL's clock, Unix milliseconds. */
    readonly acceptedAtMs: string;
    /** The routes' `next_attempt_at`, as PostgreSQL writes it. */
    readonly claimedUntil: string;
  }
  /** A key has a record, or an entry is recorded as malformed: nothing was changed. */
  | { readonly kind: "not_all_new" }
  /** Another consumer has moved the offset: nothing was changed. */
  | { readonly kind: "offset_moved" };

const INTENTS = rows<Candidate>()({
  notification_id: uuid(({ intent }) => intent.notificationId),
  notification_type: text(({ intent }) => intent.type.name),
  producer: text(({ intent }) => intent.producer),
  audience_kind: text(({ intent }) => intent.audienceKind),
  recipient_user_ids: text(({ intent }) => JSON.stringify(intent.recipientUserIds)),
  payload: text(({ intent }) => intent.payload),
  idempotency_key: text(({ intent }) => intent.idempotencyKey),
  fingerprint: text(({ intent }) => intent.fingerprint),
  entry_id: text(({ intent }) => intent.entry.id),
  request_id: text(({ intent }) => intent.requestId),
  trace_id: text(({ intent }) => intent.traceId),
  traceparent: text(({ intent }) => intent.traceparent),
  occurred_at_ms: bigint(({ intent }) => intent.occurredAtMs),
});

interface RouteRow {
  readonly notificationId: string;
  readonly route: Candidate["routes"][number];
}

const ROUTES = rows<RouteRow>()({
  notification_id: uuid(({ notificationId }) => notificationId),
  route_id: text(({ route }) => route.routeId),
  channel: text(({ route }) => route.channel),
  recipient: text(({ route }) => route.recipient),
  recipient_email: text(({ route }) => route.recipientEmail),
  locale: text(({ route }) => route.locale),
  skipped: text(({ route }) => route.skipped ?? ""),
});

const TAKES = {
  ...OFFSET_MOVE,
  push_attempts: "integer",
  email_attempts: "integer",
  intent: INTENTS,
  route: ROUTES,
} as const;

// Keys and entries are looked up before anything is inserted, so that a duplicate causes no error in PostgreSQL's log.
// Only a race with another stream's consumer still causes one: a unique violation. `OFFSET 0` makes PostgreSQL look the
// rows up one by one.
const INSERT_INTENTS = statement({ name: "insert_intents", takes: TAKES }, (p) => `
WITH known AS (
  SELECT FROM ${p.intent("producer", "idempotency_key")}, LATERAL (
    SELECT FROM notification.records AS record
    WHERE record.producer = intent.producer AND record.idempotency_key = intent.idempotency_key
    OFFSET 0
  ) AS record
  UNION ALL
  SELECT FROM ${p.intent("entry_id", "producer", "idempotency_key")}, LATERAL (
    SELECT FROM notification.malformed_intents AS malformed
    WHERE malformed.stream = ${p.stream} AND ${IS_SAME_ENTRY}
    OFFSET 0
  ) AS malformed
  LIMIT 1
), moved AS (${moveOffsetSql(p, "NOT EXISTS (SELECT FROM known)")}
), inserted AS (
  INSERT INTO notification.records (
    notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload, idempotency_key,
    request_fingerprint, stream, stream_entry_id, request_id, trace_id, traceparent, occurred_at, accepted_at)
  SELECT notification_id, notification_type, producer, audience_kind, recipient_user_ids::jsonb, payload::json,
    idempotency_key, decode(fingerprint, 'hex'), ${p.stream}, entry_id, request_id, trace_id, traceparent,
    to_timestamp(occurred_at_ms / 1000.0), now()
  FROM ${p.intent()}
  WHERE EXISTS (SELECT FROM moved)
), routed AS (
  INSERT INTO notification.routes (
    notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
    next_attempt_at, last_error_classification, created_at, updated_at)
  SELECT notification_id, route_id, channel, recipient, recipient_email, locale,
    CASE WHEN skipped IS NULL THEN 'pending' ELSE 'skipped' END, 0,
    CASE channel WHEN 'push' THEN ${p.push_attempts} ELSE ${p.email_attempts} END,
    CASE WHEN skipped IS NULL THEN now() + interval '${BIRTH_CLAIM_MS} milliseconds' END, skipped, now(), now()
  FROM ${p.route()}
  WHERE EXISTS (SELECT FROM moved)
)
SELECT
    CASE WHEN EXISTS (SELECT FROM moved) THEN 'inserted' WHEN EXISTS (SELECT FROM known) THEN 'not_all_new'
      ELSE 'offset_moved' END AS kind,
    floor(extract(epoch FROM now()) * 1000)::text AS "acceptedAtMs",
    (now() + interval '${BIRTH_CLAIM_MS} milliseconds')::text AS "claimedUntil"`);

/** @throws DatabaseError 23505 when another consumer inserts one of the keys at the same time: nothing was changed */
export async function insertIntents(
  client: Pick<pg.ClientBase, "query">,
  { candidates, maxAttempts, ...move }: NewIntents,
): Promise<InsertResult> {
  const route = candidates.flatMap(({ intent: { notificationId }, routes }) => (
    routes.map((route) => ({ notificationId, route }))
  ));
  const { rows } = await client.query<InsertResult & object>(INSERT_INTENTS({
    ...offsetMoveValues(move),
    push_attempts: maxAttempts.push,
    email_attempts: maxAttempts.email,
    intent: candidates,
    route,
  }));
  return rows[0]!;
}
