/**
 * A rig and the id of an entry of its intents stream → the whole outcome of that entry, from PostgreSQL and the
 * outbound streams.
 *
 * The service's log is not used; rows have all their columns, routes are in the order of their ids.
 */
import type { ClientEvent, MailCommand, Rig } from "./service_rig.ts";

interface RecordRow {
  readonly notification_id: string;
  readonly notification_type: string;
  readonly producer: string;
  readonly audience_kind: string;
  readonly recipient_user_ids: readonly string[];
  /** The column's text, not parsed. */
  readonly payload: string;
  readonly idempotency_key: string;
  readonly request_fingerprint: Uint8Array;
  readonly stream: string;
  readonly stream_entry_id: string;
  readonly request_id: string | null;
  readonly trace_id: string | null;
  readonly traceparent: string | null;
  readonly occurred_at: Date;
  readonly accepted_at: Date;
}

export interface RouteRow {
  readonly notification_id: string;
  readonly route_id: string;
  readonly channel: string;
  readonly recipient: string;
  readonly recipient_email: string | null;
  readonly locale: string | null;
  readonly status: string;
  readonly attempt_count: number;
  readonly max_attempts: number;
  readonly next_attempt_at: Date | null;
  readonly last_error_classification: string | null;
  readonly last_error_message: string | null;
  readonly published_entry_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

interface DeadLetterRow {
  readonly notification_id: string;
  readonly route_id: string;
  readonly channel: string;
  readonly recipient: string;
  readonly attempt_count: number;
  readonly max_attempts: number;
  readonly failure_classification: string;
  readonly failure_message: string;
  readonly created_at: Date;
}

export interface MalformedRow {
  readonly stream: string;
  readonly stream_entry_id: string;
  readonly notification_type: string | null;
  readonly producer: string | null;
  readonly idempotency_key: string | null;
  readonly failure_code: string;
  readonly failure_message: string;
  readonly raw_fields: readonly (readonly [unknown, unknown])[];
  readonly recorded_at: Date;
}

export interface Outcome {
  readonly record: RecordRow | undefined;
  readonly malformed: MalformedRow | undefined;
  readonly routes: readonly RouteRow[];
  readonly deadLetters: readonly DeadLetterRow[];
  readonly clientEvents: readonly ClientEvent[];
  readonly mailCommands: readonly MailCommand[];
}

/** The outcome of the entry so far. */
export async function outcomeOf(rig: Rig, entryId: string): Promise<Outcome> {
  const { rows: [record] } = await rig.pool.query<RecordRow>(
    `SELECT notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload::text AS payload,
            idempotency_key, request_fingerprint, stream, stream_entry_id, request_id, trace_id, traceparent,
            occurred_at, accepted_at
       FROM notification.records WHERE stream_entry_id = $1`,
    [entryId],
  );
  const id = record?.notification_id ?? null;
  const malformed = await rig.query<MalformedRow>(
    "SELECT * FROM notification.malformed_intents WHERE stream_entry_id = $1",
    [entryId],
  );
  return {
    record,
    malformed: malformed[0],
    routes: await rig.query<RouteRow>(
      'SELECT * FROM notification.routes WHERE notification_id = $1 ORDER BY route_id COLLATE "C"',
      [id],
    ),
    deadLetters: await rig.query<DeadLetterRow>(
      'SELECT * FROM notification.dead_letters WHERE notification_id = $1 ORDER BY route_id COLLATE "C"',
      [id],
    ),
    clientEvents: (await readable(rig.clientEvents())).filter(({ fields }) => isOf(fields["event_id"], id)),
    mailCommands: (await readable(rig.mailCommands())).filter(({ fields }) => isOf(fields["delivery_id"], id)),
  };
}

/** A key of another type counts as an empty stream. */
async function readable<Entry>(entries: Promise<Entry[]>): Promise<Entry[]> {
  try {
    return await entries;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return [];
    throw error;
  }
}

function isOf(deliveryId: string | undefined, notificationId: string | null): boolean {
  return deliveryId?.startsWith(`${notificationId}/`) ?? false;
}

/** `accepted`, `duplicate` or the failure's code, of every entry, in the given order; the rig must be settled. */
export async function verdicts(rig: Rig, entryIds: readonly string[]): Promise<string[]> {
  const rows = await rig.query<{ entry_id: string; verdict: string }>(
    `SELECT stream_entry_id AS entry_id, 'accepted' AS verdict FROM notification.records
      UNION ALL
     SELECT stream_entry_id, failure_code FROM notification.malformed_intents`,
  );
  return entryIds.map((entryId) => {
    const found = rows.filter((row) => row.entry_id === entryId).map((row) => row.verdict);
    return found.length === 0 ? "duplicate" : found.join(" and ");
  });
}
