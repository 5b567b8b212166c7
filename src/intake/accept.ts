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
  const [moved, insertedIds] = await allAnswered([
    movePlace(client, acceptance),
    insertRecords(client, stream, judgement.candidates),
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
  const [, recordedIds] = await allAnswered([
    insertRoutes(client, accepted, acceptance.maxAttempts),
    insertMalformed(client, stream, rejected),
  ]);
  const malformed = rejected.filter(({ entry }) => recordedIds.has(entry.id));
  return { kind: "done", accepted, duplicates, malformed };
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
 * Inserts the candidates whose key is free; gives the ids of those inserted, or `all`.
 * An entry that is recorded as malformed stays that, also when it is read again.
 */
async function insertRecords(
  client: pg.ClientBase,
  stream: string,
  candidates: readonly Candidate[],
): Promise<"all" | Set<string>> {
  if (candidates.length === 0) return "all";
  const intents = candidates.map(({ intent }) => intent);
  const column = (valueOf: (intent: Intent) => string | number) => joinColumn(intents.map(valueOf));
  const { rows } = await client.query<[number, string | null]>({
    name: "insert_records",
    rowMode: "array",
    text: `
      WITH accepted AS (
        INSERT INTO notification.records (
          notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload, idempotency_key,
          request_fingerprint, stream, stream_entry_id, request_id, trace_id, traceparent, occurred_at, accepted_at)
        SELECT notification_id, notification_type, producer, audience_kind, recipient_user_ids::jsonb, payload::json,
          idempotency_key, decode(fingerprint, 'hex'), $2, entry_id, request_id, trace_id, traceparent,
          to_timestamp(occurred_at_ms / 1000.0), now()
        FROM unnest(
          string_to_array($3, $1, '')::uuid[], string_to_array($4, $1, ''), string_to_array($5, $1, ''),
          string_to_array($6, $1, ''), string_to_array($7, $1, ''), string_to_array($8, $1, ''),
          string_to_array($9, $1, ''), string_to_array($10, $1, ''), string_to_array($11, $1, ''),
          string_to_array($12, $1, ''), string_to_array($13, $1, ''), string_to_array($14, $1, ''),
          string_to_array($15, $1, '')::bigint[]
        ) AS intent (notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload,
          idempotency_key, fingerprint, entry_id, request_id, trace_id, traceparent, occurred_at_ms)
        WHERE NOT EXISTS (
          SELECT FROM notification.malformed_intents AS malformed
          WHERE malformed.stream = $2 AND malformed.stream_entry_id = intent.entry_id)
        ON CONFLICT DO NOTHING
        RETURNING notification_id
      )
      SELECT count(*)::int, CASE WHEN count(*) < $16 THEN string_agg(notification_id::text, ',') END FROM accepted`,
    values: [
      SEPARATOR,
      stream,
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
      candidates.length,
    ],
  });
  const [count, ids] = rows[0]!;
  return count === candidates.length ? "all" : new Set(ids === null ? [] : ids.split(","));
}

async function insertRoutes(
  client: pg.ClientBase,
  accepted: readonly Candidate[],
  maxAttempts: Readonly<Record<Channel, number>>,
): Promise<void> {
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
  for (const { intent, routes } of accepted) {
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
  if (ids.length === 0) return;
  await client.query({
    name: "insert_routes",
    text: `
      INSERT INTO notification.routes (
        notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
        next_attempt_at, last_error_classification, created_at, updated_at)
      SELECT notification_id, route_id, channel, recipient, recipient_email, locale,
        CASE WHEN reason IS NULL THEN 'pending' ELSE 'skipped' END, 0,
        CASE channel WHEN 'push' THEN $9::int ELSE $10::int END,
        CASE WHEN reason IS NULL THEN now() END, reason, now(), now()
      FROM unnest(
        string_to_array($2, $1, '')::uuid[], string_to_array($3, $1, ''), string_to_array($4, $1, ''),
        string_to_array($5, $1, ''), string_to_array($6, $1, ''), string_to_array($7, $1, ''),
        string_to_array($8, $1, '')
      ) AS route (notification_id, route_id, channel, recipient, recipient_email, locale, reason)`,
    values: [SEPARATOR, ...columns.map(joinColumn), maxAttempts.push, maxAttempts.email],
  });
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
