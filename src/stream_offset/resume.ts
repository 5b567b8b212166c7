/**
 * The row and its copy → the offset after which reading resumes. Pure.
 *
 * If the Redis server is another one than the row was last compared with, and the copy is behind the row, Redis may
 * have lost the entries after the copy and may have given their ids to other entries. Reading then resumes from the
 * copy, which survived together with the entries before it. Entries that are read again are recognised by their
 * records; entries so old that their records may be deleted are passed over. A server that was not restarted or
 * replaced loses nothing: then the row is used. docs/contract.md, section 11.
 */
import { BEFORE_ALL, compareEntryIds } from "../redis/entry_ids.ts";
import { HIDDEN_EPOCH } from "../redis/epoch.ts";
import type { Copy, Offset, OffsetRow } from "./stream_offset.ts";

export interface Resumption {
  readonly offset: Offset;
  /** The row, if reading resumes before it: entries up to it were read before. */
  readonly readBefore?: Offset | undefined;
  /** The copy, if it is ahead of the row: PostgreSQL has lost commits. */
  readonly copyAhead?: string;
}

/**
 * The margin by which entries must be younger than the retention of records, for clocks that differ and for the time
 * that reading takes.
 */
const MAX_MARGIN_MS = 3_600_000;

export function resumptionOf(
  { row, copy: { offset: copy, timeMs, epoch }, recordRetentionMs }: {
    readonly row: OffsetRow | undefined;
    readonly copy: Copy;
    readonly recordRetentionMs: number;
  },
): Resumption {
  // Never `$`, which would skip entries.
  if (row === undefined) return { offset: copy ?? { entryId: BEFORE_ALL, entriesRead: undefined } };
  if (copy === undefined) return { offset: row };
  const ahead = compareEntryIds(copy.entryId, row.entryId);
  if (ahead > 0) return { offset: row, copyAhead: copy.entryId };
  if (row.epoch === epoch && epoch !== HIDDEN_EPOCH) return { offset: row };
  const marginMs = Math.min(MAX_MARGIN_MS, recordRetentionMs / 10);
  const oldest = `${Math.max(0, Math.floor(timeMs - recordRetentionMs + marginMs))}-0`;
  const offset = compareEntryIds(copy.entryId, oldest) >= 0 ? copy : { entryId: oldest, entriesRead: undefined };
  return compareEntryIds(offset.entryId, row.entryId) < 0 ? { offset, readBefore: row } : { offset: row };
}

/** How many of the `trimmed` entries after an offset that was set back had been read before. */
export function trimmedAfterRead(
  { entriesRead, readBefore }: Offset & Pick<Resumption, "readBefore">,
  trimmed: number,
): number {
  if (entriesRead === undefined || readBefore?.entriesRead === undefined) return 0;
  return Math.max(0, Math.min(trimmed, readBefore.entriesRead - entriesRead));
}
