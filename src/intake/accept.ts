/**
 * A judged batch → PostgreSQL, in one transaction: the place moved, records with their routes, malformed intents.
 *
 * Either all of it is there or nothing. The record that a key has decides which of the batch's intents are duplicates
 * and which are conflicts, also within the batch.
 */
import type pg from "pg";
import { type Intent, type Malformed, malformedIntent } from "../notification/intent.ts";
import type { Channel } from "../notification/route.ts";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";
import { allAnswered, inTransaction } from "../postgres/transaction.ts";
import { type Candidate, type Judgement, keyOf } from "./judge.ts";
import { insertMalformed, selectMalformed } from "./reject.ts";
import { movePlace, type Place } from "./stream_offset.ts";

export interface Acceptance {
  readonly stream: string;
  readonly from: Place;
  readonly to: Place;
  readonly judgement: Pick<Judgement, "candidates" | "followers" | "rejected">;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
}

export type AcceptanceResult =
  | {
    readonly kind: "done";
    readonly accepted: readonly Candidate[];
    /** Unix milliseconds by PostgreSQL's clock. */
    readonly acceptedAtMs: string;
    readonly duplicates: readonly Intent[];
    readonly malformed: readonly Malformed[];
  }
  /** Another consumer has moved the place: nothing was changed, what was read is stale. */
  | { readonly kind: "place_moved" }
  /** A key was neither free nor taken, as when retention removes its record meanwhile: nothing was changed. */
  | { readonly kind: "try_again"; readonly keys: readonly string[] };

/** Rolls the transaction back with a result. */
class RolledBack extends Error {
  constructor(readonly result: AcceptanceResult) {
    super("Rolled back");
  }
}

export async function acceptBatch(pool: pg.Pool, acceptance: Acceptance): Promise<AcceptanceResult> {
  try {
    return await inTransaction(pool, (client) => accept(client, acceptance));
  } catch (error) {
    if (error instanceof RolledBack) return error.result;
    throw error;
  }
}

async function accept(client: pg.ClientBase, acceptance: Acceptance): Promise<AcceptanceResult> {
  const { stream, judgement } = acceptance;
  const [moved, { insertedIds, acceptedAtMs }] = await allAnswered([
    movePlace(client, acceptance),
    insertRecords(client, acceptance),
  ]);
  if (!moved) throw new RolledBack({ kind: "place_moved" });

  const accepted = insertedIds === "all"
    ? judgement.candidates
    : judgement.candidates.filter(({ intent }) => insertedIds.has(intent.notificationId));
  const rest = insertedIds === "all"
    ? judgement.followers
    : [...notIn(accepted, judgement.candidates), ...judgement.followers];
  const { duplicates, conflicts } = await tellApart(client, stream, rest, accepted);

  const rejected = [...judgement.rejected, ...conflicts];
  const recordedIds = await insertMalformed(client, stream, rejected);
  const malformed = rejected.filter(({ entry }) => recordedIds.has(entry.id));
  return { kind: "done", accepted, acceptedAtMs, duplicates, malformed };
}

function notIn(accepted: readonly Candidate[], candidates: readonly Candidate[]): Intent[] {
  const taken = new Set(accepted);
  return candidates.filter((candidate) => !taken.has(candidate)).map(({ intent }) => intent);
}

/** Intents whose key has a record, in this batch or from before: the same fingerprint or another. */
async function tellApart(
  client: pg.ClientBase,
  stream: string,
  intents: readonly Intent[],
  accepted: readonly Candidate[],
): Promise<{ duplicates: Intent[]; conflicts: Malformed[] }> {
  const duplicates: Intent[] = [];
  const conflicts: Malformed[] = [];
  if (intents.length === 0) return { duplicates, conflicts };

  const fingerprints = await selectFingerprints(client, intents);
  for (const { intent } of accepted) fingerprints.set(keyOf(intent), intent.fingerprint);
  const unknown = intents.filter((intent) => !fingerprints.has(keyOf(intent)));
  const alreadyMalformed = await selectMalformed(client, stream, unknown.map(({ entry }) => entry.id));
  const unexplained = unknown.filter(({ entry }) => !alreadyMalformed.has(entry.id));
  if (unexplained.length > 0) throw new RolledBack({ kind: "try_again", keys: unexplained.map(keyOf) });

  for (const intent of intents) {
    const fingerprint = fingerprints.get(keyOf(intent));
    if (fingerprint === undefined) continue;
    if (fingerprint === intent.fingerprint) duplicates.push(intent);
    else conflicts.push(malformedIntent(intent, "idempotency_conflict", conflictMessage(intent)));
  }
  return { duplicates, conflicts };
}

function conflictMessage({ idempotencyKey, producer }: Intent): string {
  return `idempotency_key ${JSON.stringify(idempotencyKey.slice(0, 128))} of ${producer} belongs to another request: ` +
    "its type, audience, recipients or payload differ";
}

/**
 * Inserts the candidates whose key is free, with their routes; gives the ids of those inserted, or `all`, and their time.
 * An entry that is recorded as malformed stays that, also when it is read again.
 */
async function insertRecords(
  client: pg.ClientBase,
  { stream, judgement: { candidates }, maxAttempts }: Acceptance,
): Promise<{ insertedIds: "all" | Set<string>; acceptedAtMs: string }> {
  if (candidates.length === 0) return { insertedIds: "all", acceptedAtMs: "" };
  const { rows } = await client.query<[number, string | null, string]>({
    name: "insert_records",
    rowMode: "array",
    text: INSERT_RECORDS,
    values: [
      SEPARATOR,
      stream,
      candidates.length,
      maxAttempts.push,
      maxAttempts.email,
      ...recordColumns(candidates),
      ...routeColumns(candidates),
    ],
  });
  const [count, ids, acceptedAtMs] = rows[0]!;
  const insertedIds = count === candidates.length ? "all" : new Set(ids === null ? [] : ids.split(","));
  return { insertedIds, acceptedAtMs };
}

// `IS TRUE` keeps the look-up among the accepted ids from becoming a join of two sets whose sizes the planner doesn't know;
// it is a hash table then.
const INSERT_RECORDS = `
  WITH accepted AS (
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
    WHERE NOT EXISTS (
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
    floor(extract(epoch FROM now()) * 1000)::text
  FROM accepted`;

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

/** Fingerprints of the records that the intents' keys have, by {@link keyOf}. */
export async function selectFingerprints(
  client: Pick<pg.ClientBase, "query">,
  intents: readonly Intent[],
): Promise<Map<string, string>> {
  if (intents.length === 0) return new Map();
  const { rows } = await client.query<[string, string, string]>({
    rowMode: "array",
    text: `
      SELECT producer, idempotency_key, encode(request_fingerprint, 'hex')
      FROM notification.records
      WHERE (producer, idempotency_key) IN (
        SELECT * FROM unnest(string_to_array($2, $1), string_to_array($3, $1)))`,
    values: [
      SEPARATOR,
      joinColumn(intents.map(({ producer }) => producer)),
      joinColumn(intents.map(({ idempotencyKey }) => idempotencyKey)),
    ],
  });
  return new Map(rows.map(([producer, idempotencyKey, fingerprint]) => [
    keyOf({ producer, idempotencyKey }),
    fingerprint,
  ]));
}
