/** Intents → the ids of those entries that are already recorded as malformed. */
import type pg from "pg";
import type { Intent } from "../notification/intent.ts";
import { rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";

/**
 * SQL condition: the row `malformed` is about the entry of `intent`. The id alone is not enough, because an earlier
 * stream of the same name may have had another entry with this id. A row with fields has producer and key if the entry
 * had them, as every valid entry has. In a row without fields (`[]`) both may be NULL, and it may then be about any
 * entry of this id.
 */
export const IS_SAME_ENTRY = `malformed.stream_entry_id = intent.entry_id
      AND (malformed.producer = intent.producer OR malformed.producer IS NULL AND malformed.raw_fields = '[]')
      AND (malformed.idempotency_key = intent.idempotency_key
        OR malformed.idempotency_key IS NULL AND malformed.raw_fields = '[]')`;

const ENTRIES = rows<Intent>()({
  entry_id: text(({ entry }) => entry.id),
  producer: text(({ producer }) => producer),
  idempotency_key: text(({ idempotencyKey }) => idempotencyKey),
});

const SELECT_MALFORMED = statement({ name: "select_malformed", takes: { stream: "text", intent: ENTRIES } }, (p) => `
SELECT entry_id
FROM ${p.intent()}, LATERAL (
  SELECT FROM notification.malformed_intents AS malformed
  WHERE malformed.stream = ${p.stream} AND ${IS_SAME_ENTRY}
  OFFSET 0
) AS malformed`);

/** Returns entry ids. */
export async function malformedBefore(
  client: Pick<pg.ClientBase, "query">,
  stream: string,
  intents: readonly Intent[],
): Promise<Set<string>> {
  if (intents.length === 0) return new Set();
  const { rows } = await client.query<{ entry_id: string }>(SELECT_MALFORMED({ stream, intent: intents }));
  return new Set(rows.map((row) => row.entry_id));
}
