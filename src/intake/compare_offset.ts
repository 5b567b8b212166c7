/**
 * An offset and the state of the stream at one read → what has happened to the stream. Pure.
 *
 * An offset that was just found comes with the copy of it in Redis. If the stream ends before the offset, the copy
 * decides: a copy within the stream belongs to it, so the stream has lost its tail; otherwise the stream is another one
 * under the old name. docs/contract.md, sections 6 and 11.
 */
import { BEFORE_ALL, isAtOrBefore } from "../redis/entry_ids.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import { trimmedAfterRead } from "../stream_offset/resume.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";

/**
 * An offset as this consumer found it. Each time the offset is found or moved it gets another version, even if it names
 * the same entry.
 */
export interface VersionedOffset extends Offset {
  readonly version: number;
  /** The epoch of the Redis server on which the offset was found. Entries of another server can't be read after it. */
  readonly epoch: string;
  /** Present until the offset that was found is compared with the stream for the first time. */
  readonly found?: { readonly copy: Offset | undefined } | undefined;
  /** Set if the row was set back: entries up to this one were read before. */
  readonly readBefore?: Offset | undefined;
  /**
   * The copy in Redis, if it is ahead of the row: PostgreSQL has lost commits. If Redis had lost entries before, the
   * row's ordinal still counts them, so the ordinal after this entry is unknown until the end of the stream is
   * reached.
   */
  readonly copyAhead?: string | undefined;
}

export type Comparison =
  | {
    readonly kind: "fits";
    readonly entriesRead: number | undefined;
    /** How many entries after the offset were deleted unread. */
    readonly trimmedUnread: number;
    /** The ordinal was unknown, and is known now, at the end of the stream. */
    readonly isOrdinalNew: boolean;
  }
  /** Only an offset with its copy shows what has happened. */
  | { readonly kind: "find_again" }
  /** The stream's last entries are lost. */
  | { readonly kind: "tail_lost" }
  /** Another stream has the old name: it has to be read from its beginning. */
  | { readonly kind: "another_stream" }
  /** The stream is the same one, and the row's ordinal is wrong. */
  | { readonly kind: "wrong_ordinal" };

/** @param options.isAtEnd no entry was after the offset */
export function compareOffset(
  offset: VersionedOffset,
  state: StreamState,
  { isAtEnd }: { readonly isAtEnd: boolean },
): Comparison {
  const isInStream = (entryId: string | undefined) =>
    entryId !== undefined && isAtOrBefore(entryId, state.lastGeneratedId);
  const standing = standingOf(offset, state, { isAtEnd });
  switch (standing.kind) {
    case "ends_before":
      if (offset.found === undefined) return { kind: "find_again" };
      return { kind: isInStream(offset.found.copy?.entryId) ? "tail_lost" : "another_stream" };
    case "another_stream":
      return { kind: isInStream(offset.copyAhead) ? "wrong_ordinal" : "another_stream" };
    case "same": {
      const { entriesRead, trimmedUnread } = standing;
      return {
        kind: "fits",
        entriesRead,
        trimmedUnread: trimmedUnread - trimmedAfterRead(offset, trimmedUnread),
        isOrdinalNew: offset.entriesRead === undefined && entriesRead !== undefined && offset.entryId !== BEFORE_ALL,
      };
    }
    default:
      return standing satisfies never;
  }
}
