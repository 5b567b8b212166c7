/**
 * Offset and stream → which ordinal the offset has, what was deleted unread, and whether this is the same stream. Pure.
 *
 * Redis counts the entries ever added; those that are no longer in the stream were deleted. If more were deleted than
 * read, the difference was deleted unread. If no entry is after the offset, all entries that were added and not read
 * were deleted unread. docs/contract.md, section 6.
 */
import { BEFORE_ALL, compareEntryIds } from "../redis/entry_ids.ts";
import type { Offset } from "./stream_offset.ts";

/** What Redis counts of a stream. */
export interface StreamState {
  readonly length: number;
  /** How many entries were ever added. */
  readonly entriesAdded: number;
  readonly lastGeneratedId: string;
  /** The first entry that still exists; `0-0` in an empty stream. */
  readonly firstId: string;
}

export type Standing =
  /** The offset is beyond the stream's last entry: the stream lost its tail, or is another one under the old name. */
  | { readonly kind: "ends_before" }
  /** The key is another stream under the old name: it has to be read from its beginning. */
  | { readonly kind: "another_stream" }
  | {
    readonly kind: "same";
    /** `undefined` while the offset's ordinal is unknown, until the end of the stream is reached. */
    readonly entriesRead: number | undefined;
    readonly trimmedUnread: number;
  };

/** @param options.isAtEnd no entry is after the offset */
export function standingOf(offset: Offset, state: StreamState, { isAtEnd = false } = {}): Standing {
  if (compareEntryIds(offset.entryId, state.lastGeneratedId) > 0) return { kind: "ends_before" };
  const deleted = state.entriesAdded - state.length;
  const known = ordinalOf(offset, state);
  if (known === "another_stream") return { kind: known };
  if (known === undefined) {
    return { kind: "same", entriesRead: isAtEnd ? state.entriesAdded : undefined, trimmedUnread: 0 };
  }
  const passed = isAtEnd ? state.entriesAdded : deleted;
  const trimmedUnread = Math.max(0, passed - known);
  return { kind: "same", entriesRead: known + trimmedUnread, trimmedUnread };
}

function ordinalOf({ entryId, entriesRead }: Offset, state: StreamState): number | undefined | "another_stream" {
  const deleted = state.entriesAdded - state.length;
  // Before all entries: what is already deleted does not count as deleted unread.
  if (entriesRead === undefined) return entryId === BEFORE_ALL ? deleted : undefined;
  if (entriesRead <= state.entriesAdded) return entriesRead;
  // More entries were read than this stream ever had: it is another one, and entries at or before the offset would
  // never be read.
  const holdsEarlier = state.length > 0 && compareEntryIds(state.firstId, entryId) <= 0;
  return holdsEarlier ? "another_stream" : deleted;
}
