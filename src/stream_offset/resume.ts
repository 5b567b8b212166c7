/**
 * The row and its copy → where to read on. Pure.
 *
 * Where Redis is another server than the row was last compared with, and the copy is behind the row, Redis may have lost what came
 * after the copy, and may have given its ids to other entries since. So reading resumes from the copy: it survived together with the
 * entries before it. What is read again is recognised by its record; entries that are older than that are passed over. In one life a
 * server loses nothing: there the row counts. `docs/contract.md`, section 11.
 */
import { BEFORE_ALL, compareEntryIds } from "../redis/entry_ids.ts";
import { HIDDEN_EPOCH } from "../redis/epoch.ts";
import type { Copy, Offset, OffsetRow } from "./stream_offset.ts";

export interface Resumption {
  readonly offset: Offset;
  /** The row, where reading resumes before it: entries up to it were read before. */
  readonly readBefore?: Offset | undefined;
  /** Where the copy is ahead of the row: PostgreSQL has lost commits. */
  readonly copyAhead?: string;
}

/** Between the deletion of records and the entries that count on them: clocks, and the time it takes to read. */
const MAX_MARGIN_MS = 3_600_000;

export function resumptionOf(
  { row, copy: { offset: copy, timeMs, epoch }, recordRetentionMs }: {
    readonly row: OffsetRow | undefined;
    readonly copy: Copy;
    readonly recordRetentionMs: number;
  },
): Resumption {
  // Never `$`, which would skip some.
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

/** Of `trimmed` entries behind an offset that was set back, how many had been read before. */
export function trimmedAfterRead(
  { entriesRead, readBefore }: Offset & Pick<Resumption, "readBefore">,
  trimmed: number,
): number {
  if (entriesRead === undefined || readBefore?.entriesRead === undefined) return 0;
  return Math.max(0, Math.min(trimmed, readBefore.entriesRead - entriesRead));
}
