/**
 * Offset and stream → which ordinal the place has, what was trimmed unread, and whether this is the same stream. Pure.
 *
 * Redis counts the entries ever added; those added and no longer there are gone. If more are gone than were read, the
 * difference was never read. Contract, section 6.
 */
import { compareEntryIds } from "../redis/entry_ids.ts";
import type { Offset } from "./stream_offset.ts";

/** What Redis counts of a stream. */
export interface StreamState {
  readonly length: number;
  /** How many entries were ever added. */
  readonly entriesAdded: number;
  readonly lastGeneratedId: string;
  /** The first entry that is still there; `0-0` in an empty stream. */
  readonly firstId: string;
}

export type Standing =
  /** The key is another stream under the old name: reading has to start anew. */
  | { readonly kind: "another_stream" }
  | { readonly kind: "same"; readonly entriesRead: number; readonly trimmedUnread: number };

export function standingOf(place: Offset, state: StreamState): Standing {
  if (compareEntryIds(place.entryId, state.lastGeneratedId) > 0) return { kind: "another_stream" };
  const gone = state.entriesAdded - state.length;
  if (place.entriesRead === undefined) return { kind: "same", entriesRead: gone, trimmedUnread: 0 };
  if (place.entriesRead > state.entriesAdded) {
    // More were read than this stream ever had. Entries at or before the place would never be read.
    const holdsEarlier = state.length > 0 && compareEntryIds(state.firstId, place.entryId) <= 0;
    return holdsEarlier ? { kind: "another_stream" } : { kind: "same", entriesRead: gone, trimmedUnread: 0 };
  }
  const trimmedUnread = Math.max(0, gone - place.entriesRead);
  return { kind: "same", entriesRead: place.entriesRead + trimmedUnread, trimmedUnread };
}
