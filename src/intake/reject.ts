/**
 * Malformed intents → rows of `malformed_intents`, in the transaction that moves the offset past them.
 *
 * Any content of an entry can be stored: NUL is replaced, texts are cut, `raw_fields.ts` encodes the fields.
 */
import type pg from "pg";
import { notificationId } from "../notification/identity.ts";
import type { Malformed } from "../notification/intent.ts";
import { rawFields } from "../notification/raw_fields.ts";
import { rows, text, uuid } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { storable } from "../postgres/storable.ts";

type Queryable = Pick<pg.ClientBase, "query">;

const MAX_TEXT_CHARACTERS = 256;
const MAX_MESSAGE_CHARACTERS = 500;

const REJECTED = rows<Malformed>()({
  entry_id: text(({ entry }) => entry.id),
  notification_type: text(({ notificationType }) => storable(notificationType, MAX_TEXT_CHARACTERS)),
  producer: text(({ producer }) => storable(producer, MAX_TEXT_CHARACTERS)),
  idempotency_key: text(({ idempotencyKey }) => storable(idempotencyKey, MAX_TEXT_CHARACTERS)),
  code: text(({ code }) => code),
  message: text(({ message }) => storable(message, MAX_MESSAGE_CHARACTERS)),
  raw_fields: text(({ entry, isWithoutFields }) => isWithoutFields ? "[]" : rawFields(entry)),
  accepted_id: uuid(acceptedId),
});

const INSERT_MALFORMED = statement({ name: "insert_malformed", takes: { stream: "text", rejected: REJECTED } }, (p) => `
INSERT INTO notification.malformed_intents AS malformed (
  stream, stream_entry_id, notification_type, producer, idempotency_key, failure_code, failure_message, raw_fields,
  recorded_at)
SELECT ${p.stream}, entry_id, notification_type, producer, idempotency_key, code, message, raw_fields::jsonb, now()
FROM ${p.rejected()}
WHERE NOT EXISTS (
  SELECT FROM notification.records AS record
  WHERE record.notification_id = accepted_id AND record.stream = ${p.stream} AND record.stream_entry_id = entry_id)
ON CONFLICT (stream, stream_entry_id) DO UPDATE
SET notification_type = excluded.notification_type, producer = excluded.producer,
  idempotency_key = excluded.idempotency_key, failure_code = excluded.failure_code,
  failure_message = excluded.failure_message, raw_fields = excluded.raw_fields, recorded_at = excluded.recorded_at
WHERE malformed.raw_fields <> excluded.raw_fields AND '[]' NOT IN (malformed.raw_fields, excluded.raw_fields)
RETURNING stream_entry_id`);

/**
 * Returns the ids of the entries that this call records. An entry that was recorded or accepted when it was read before
 * is not changed: an entry has one outcome.
 *
 * A row with other fields is about an entry of an earlier stream of the same name, and is replaced: the outcome of that
 * entry was reported and the entry no longer exists, while this entry would have no outcome. A row without fields may
 * be about this entry.
 */
export async function insertMalformed(
  client: Queryable,
  stream: string,
  rejected: readonly Malformed[],
): Promise<Set<string>> {
  if (rejected.length === 0) return new Set();
  const { rows } = await client.query<{ stream_entry_id: string }>(INSERT_MALFORMED({ stream, rejected }));
  return new Set(rows.map((row) => row.stream_entry_id));
}

/** The id that the entry's record would have; empty if the entry can't have been accepted. */
function acceptedId({ entry, producer, idempotencyKey }: Malformed): string {
  return producer === "" || idempotencyKey === "" ? "" : notificationId(entry.id, producer, idempotencyKey);
}
