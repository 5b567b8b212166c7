/** Entries as they were read → intents and malformed intents: the first entries, up to the bounds of one batch. */
import type { Catalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import type { StreamEntry } from "../notification/stream_entry.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { readExactEntry } from "./exact_entry.ts";
import type { Decoded } from "./judge.ts";
import { MAX_BATCH_BYTES, type ReadBatch } from "./read_batch.ts";

/** Maximum number of recipients in one batch, unless a single entry has more. */
const MAX_BATCH_RECIPIENTS = 10_000;

export interface DecodeOptions {
  readonly stream: string;
  readonly catalog: Catalog;
  readonly redis: RedisConnection;
}

/**
 * Decodes in order. An entry that was deleted before its bytes could be fetched ends the batch: the next read counts it
 * as trimmed unread.
 */
export async function decodeBatch(
  { entries, isDoubtful }: Pick<ReadBatch, "entries" | "isDoubtful">,
  { stream, catalog, redis }: DecodeOptions,
): Promise<Decoded[]> {
  const decoded: Decoded[] = [];
  let exactBytes = 0;
  let recipients = 0;
  for (const { id, fields } of entries) {
    let entry: StreamEntry | undefined;
    if (fields !== undefined && !(isDoubtful && fields.some((value) => value.includes("\ufffd")))) {
      entry = { id, fields };
    } else {
      entry = await readExactEntry(redis, { stream, id });
      exactBytes += keptBytes(entry);
    }
    if (entry === undefined) break;
    const item = decode(entry, catalog);
    recipients += item.kind === "intent" ? item.recipientUserIds.length : 0;
    const isTooMuch = exactBytes > MAX_BATCH_BYTES || recipients > MAX_BATCH_RECIPIENTS;
    if (isTooMuch && decoded.length > 0) break;
    decoded.push(item);
  }
  return decoded;
}

function keptBytes(entry: StreamEntry | undefined): number {
  return entry?.fields.reduce(
    (sum, value) => sum + (typeof value === "object" && "head" in value ? value.head : value).length,
    0,
  ) ?? 0;
}
