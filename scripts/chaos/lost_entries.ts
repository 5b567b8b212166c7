/**
 * The rows in PostgreSQL and an intent stream that lacks some of their entries → these entries as they were sent: the
 * service read them before Redis lost them.
 *
 * The content of an entry comes from the producer's memory, never from what the service wrote.
 */
import type { Evidence, LossWindow } from "./facts.ts";
import type { Fields } from "./intent_mix.ts";
import { entryMs, type SentEntry, sentEntry } from "./sent_entry.ts";
import type { Setting } from "./setting.ts";

export interface LostEntriesOptions
  extends Pick<Evidence, "sent" | "records" | "malformed" | "acknowledged" | "losses"> {
  readonly fieldsOf: (number: number) => Fields | undefined;
}

export function isIn(windows: readonly LossWindow[], store: LossWindow["store"], ms: number): boolean {
  return windows.some((window) => window.store === store && ms >= window.fromMs && ms <= window.toMs);
}

export async function lostEntries(setting: Pick<Setting, "query">, options: LostEntriesOptions): Promise<SentEntry[]> {
  const { sent, records, malformed, acknowledged, losses, fieldsOf } = options;
  const kept = new Set(sent.map(({ entryId }) => entryId));
  const lost = [...records, ...malformed].map(({ entryId }) => entryId)
    .filter((entryId) => !kept.has(entryId) && isIn(losses, "redis", entryMs(entryId)));
  if (lost.length === 0) return [];
  const numbers = await numbersInPostgres(setting, lost);
  // Acknowledgements override these numbers: an accepted duplicate has the payload, and so the number, of the first
  // intent.
  for (const [number, entryId] of acknowledged) numbers.set(entryId, number);
  return [...new Set(lost)].flatMap((entryId) => {
    const fields = fieldsOf(numbers.get(entryId) ?? NaN);
    return fields === undefined ? [] : [sentEntry(entryId, fields.flat().map(String))];
  });
}

/** Reads the producer's numbers from the payloads, and from the fields of malformed intents. */
async function numbersInPostgres(
  setting: Pick<Setting, "query">,
  entryIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await setting.query<{ entry_id: string; number: string }>(
    `SELECT stream_entry_id AS entry_id, payload->>'chaos' AS number
       FROM notification.records WHERE stream_entry_id = ANY($1)
     UNION ALL
     SELECT stream_entry_id, field->>1
       FROM notification.malformed_intents, jsonb_array_elements(raw_fields) AS field
      WHERE stream_entry_id = ANY($1) AND field->>0 = 'chaos_number'`,
    [entryIds],
  );
  return new Map(rows.map(({ entry_id, number }) => [entry_id, Number(number)]));
}

export function inStreamOrder(entries: readonly SentEntry[]): SentEntry[] {
  const keyOf = ({ entryId }: SentEntry) => entryId.split("-").map(Number) as [number, number];
  return [...entries].sort((one, other) => {
    const [[oneMs, oneAt], [otherMs, otherAt]] = [keyOf(one), keyOf(other)];
    return oneMs - otherMs || oneAt - otherAt;
  });
}
