/**
 * Malformed intents → rows of `malformed_intents`, in the transaction that moves the place past them.
 *
 * Whatever the entry holds can be stored: NUL is replaced, texts are cut, the fields are kept by `raw_fields.ts`.
 */
import type pg from "pg";
import { notificationId } from "../notification/identity.ts";
import type { Malformed } from "../notification/intent.ts";
import { rawFields } from "../notification/raw_fields.ts";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";

const MAX_TEXT_CHARACTERS = 256;
const MAX_MESSAGE_CHARACTERS = 500;

/**
 * Gives the ids of the entries recorded now. One that is recorded already, or that was accepted when it was read before,
 * is left alone: an entry has one outcome.
 */
export async function insertMalformed(
  client: pg.ClientBase,
  stream: string,
  rejected: readonly Malformed[],
): Promise<Set<string>> {
  if (rejected.length === 0) return new Set();
  const column = (valueOf: (item: Malformed) => string) => joinColumn(rejected.map(valueOf));
  const { rows } = await client.query<{ stream_entry_id: string }>({
    text: `
      INSERT INTO notification.malformed_intents (
        stream, stream_entry_id, notification_type, producer, idempotency_key, failure_code, failure_message,
        raw_fields, recorded_at)
      SELECT $2, entry_id, notification_type, producer, idempotency_key, code, message, raw_fields::jsonb, now()
      FROM unnest(
        string_to_array($3, $1), string_to_array($4, $1, ''), string_to_array($5, $1, ''),
        string_to_array($6, $1, ''), string_to_array($7, $1), string_to_array($8, $1), string_to_array($9, $1),
        string_to_array($10, $1, '')::uuid[]
      ) AS malformed (entry_id, notification_type, producer, idempotency_key, code, message, raw_fields, accepted_id)
      WHERE NOT EXISTS (
        SELECT FROM notification.records AS record
        WHERE record.notification_id = accepted_id AND record.stream = $2 AND record.stream_entry_id = entry_id)
      ON CONFLICT DO NOTHING
      RETURNING stream_entry_id`,
    values: [
      SEPARATOR,
      stream,
      column(({ entry }) => entry.id),
      column(({ notificationType }) => storable(notificationType, MAX_TEXT_CHARACTERS)),
      column(({ producer }) => storable(producer, MAX_TEXT_CHARACTERS)),
      column(({ idempotencyKey }) => storable(idempotencyKey, MAX_TEXT_CHARACTERS)),
      column(({ code }) => code),
      column(({ message }) => storable(message, MAX_MESSAGE_CHARACTERS)),
      column(({ entry }) => rawFields(entry)),
      column(acceptedId),
    ],
  });
  return new Set(rows.map((row) => row.stream_entry_id));
}

/** Which of the entries are recorded as malformed. */
export async function selectMalformed(
  client: pg.ClientBase,
  stream: string,
  entryIds: readonly string[],
): Promise<Set<string>> {
  if (entryIds.length === 0) return new Set();
  const { rows } = await client.query<{ stream_entry_id: string }>(
    "SELECT stream_entry_id FROM notification.malformed_intents WHERE stream = $1 AND stream_entry_id = ANY ($2)",
    [stream, entryIds],
  );
  return new Set(rows.map((row) => row.stream_entry_id));
}

/** The id that the entry's record has if it was accepted; empty where it can't have been. */
function acceptedId({ entry, producer, idempotencyKey }: Malformed): string {
  return producer === "" || idempotencyKey === "" ? "" : notificationId(entry.id, producer, idempotencyKey);
}

/** Text that PostgreSQL can hold, of at most so many characters (code points). */
function storable(text: string, maxCharacters: number): string {
  const clean = text.replaceAll("\0", "\ufffd");
  return clean.length <= maxCharacters
    ? clean
    : [...clean.slice(0, 2 * maxCharacters)].slice(0, maxCharacters).join("");
}
