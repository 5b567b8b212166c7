/**
 * The offset behind which the consumer reads: found at the start, at a takeover, after a reconnection and on another
 * server, compared with the stream at every read, moved with every batch (docs/contract.md, sections 6 and 11).
 *
 * The row in PostgreSQL is authoritative; this class only remembers it. If the Redis server is another one and its copy
 * is behind the row, Redis may have lost entries, and the row is set back to the copy (`stream_offset/resume.ts`).
 * Every finding about the stream is committed before it is reported, so that only the consumer that commits it reports
 * it.
 */
import type pg from "pg";
import type { RedisConnection } from "../redis/connection.ts";
import { BEFORE_ALL, isAtOrBefore } from "../redis/entry_ids.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import { resumptionOf, trimmedAfterRead } from "../stream_offset/resume.ts";
import {
  copyOffset,
  moveOffset,
  type Offset,
  offsetCompared,
  readCopy,
  replaceCopy,
  selectOffset,
} from "../stream_offset/stream_offset.ts";
import { hasOutcome } from "./has_outcome.ts";
import type { IntakeEvents } from "./events.ts";

export interface ConsumerOffsetOptions {
  readonly stream: string;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly events: IntakeEvents;
  readonly recordRetentionMs: number;
  readonly malformedRetentionMs: number;
}

/**
 * An offset as this consumer found it. Each time the offset is found or moved it gets another version, even if it names
 * the same entry.
 */
export interface VersionedOffset extends Offset {
  readonly version: number;
  /** The epoch of the Redis server on which the offset was found. Entries of another server can't be read behind it. */
  readonly epoch: string;
  /** Set if the row was set back: entries up to this one were read before. */
  readonly readBefore?: Offset | undefined;
  /**
   * The copy in Redis, if it is ahead of the row: PostgreSQL has lost commits. If Redis had lost entries before, the
   * row's ordinal still counts them, so the ordinal behind this entry is unknown until the end of the stream is
   * reached.
   */
  readonly copyAhead?: string | undefined;
}

/** An offset that was found and is not yet compared with the stream. */
interface Found {
  readonly version: number;
  readonly copy: Offset | undefined;
}

export class ConsumerOffset {
  readonly #options: ConsumerOffsetOptions;
  #offset: VersionedOffset | undefined;
  #versions = 0;
  #found: Found | undefined;
  /** The stream's state at the last read. */
  #state: StreamState | undefined;
  /** The offset before the row was last set back. */
  #readBefore: Offset | undefined;
  /** The offset for which a lost tail was reported. */
  #reportedTail: string | undefined;
  /** A copy ahead of the row that needs no report: it was reported, or it belongs to a replaced stream. */
  #knownCopy: string | undefined;
  #copying: Promise<void> = Promise.resolve();

  constructor(options: ConsumerOffsetOptions) {
    this.#options = options;
  }

  /**
   * Call this when another consumer may have moved the offset, or the Redis server may be another one: the offset is
   * found again.
   */
  forget(): void {
    this.#offset = undefined;
  }

  async current(): Promise<VersionedOffset> {
    while (this.#offset === undefined) await this.#find();
    return this.#offset;
  }

  /** The offset to move to: `entries` entries after `from`, the last of which is `entryId`. */
  behind(from: VersionedOffset, { entryId, entries }: { entryId: string; entries: number }): VersionedOffset {
    const { entriesRead, epoch, readBefore, copyAhead } = from;
    const passesCopy = copyAhead !== undefined && isAtOrBefore(copyAhead, entryId);
    const isUnknown = entriesRead === undefined || passesCopy;
    return {
      entryId,
      entriesRead: isUnknown ? this.#ordinalOfEnd(entryId) : entriesRead + entries,
      version: ++this.#versions,
      epoch,
      readBefore: readBefore !== undefined && isAtOrBefore(readBefore.entryId, entryId) ? undefined : readBefore,
      copyAhead: passesCopy ? undefined : copyAhead,
    };
  }

  /**
   * The offset with its ordinal in the stream as it was read; `undefined` if it has to be found again and the batch
   * read again.
   *
   * @param options.isAtEnd no entry was behind it
   */
  async comparedWith(
    offset: VersionedOffset,
    state: StreamState,
    { isAtEnd }: { readonly isAtEnd: boolean },
  ): Promise<VersionedOffset | undefined> {
    this.#state = state;
    const found = this.#found?.version === offset.version ? this.#found : undefined;
    const standing = standingOf(offset, state, { isAtEnd });
    if (standing.kind === "ends_before") {
      if (found === undefined) this.forget();
      else await this.#endsBefore(offset, found, state);
      return undefined;
    }
    if (standing.kind === "another_stream") {
      const { entryId, copyAhead } = offset;
      // If the copy fits the stream, the stream is the same one, and only the row's ordinal is wrong.
      const isSame = copyAhead !== undefined && isAtOrBefore(copyAhead, state.lastGeneratedId);
      if (isSame) await this.#commit(offset, { entryId, entriesRead: undefined });
      else await this.#startOver(offset, state);
      return undefined;
    }
    if (found !== undefined) await this.#lookAtStream(offset, found, state);
    const { entriesRead } = standing;
    const { entryId } = offset;
    if (offset.entriesRead === undefined && entriesRead !== undefined && entryId !== BEFORE_ALL) {
      // The end of the stream was reached, where the ordinal is known.
      return await this.#commit(offset, { entryId, entriesRead }) ? this.#offset : undefined;
    }
    const trimmedUnread = standing.trimmedUnread - trimmedAfterRead(offset, standing.trimmedUnread);
    if (trimmedUnread === 0) {
      const compared = { ...offset, entriesRead };
      if (this.#offset?.version === offset.version) this.#offset = compared;
      return compared;
    }
    // If two consumers find the same, only the one that commits it reports it.
    if (!await this.#commit(offset, { entryId, entriesRead }, { isOrdinalCompared: true })) return undefined;
    this.#options.events.trimmedUnread(trimmedUnread);
    return this.#offset;
  }

  /** The ordinal of the entry if it was the stream's last at the last read. */
  #ordinalOfEnd(entryId: string): number | undefined {
    return this.#state?.lastGeneratedId === entryId ? this.#state.entriesAdded : undefined;
  }

  /** A batch up to `offset` was accepted. */
  moved(offset: VersionedOffset): void {
    // If the offset was forgotten during the pass, it stays forgotten, and is found again.
    if (this.#offset !== undefined) this.#offset = offset;
    if (offset.readBefore === undefined) this.#readBefore = undefined;
    this.#copy(offset);
  }

  /** Resolves when the copy of the committed offset was made, or could not be made. */
  async copied(): Promise<void> {
    await this.#copying;
  }

  /**
   * Another stream may have the old name, with ids and ordinals that fit: the entry at the offset is then one that was
   * never read. This is only reported: reading from the beginning would publish again what retention has deleted the
   * records of.
   */
  async #checkEntry({ entryId }: Offset): Promise<void> {
    if (entryId === BEFORE_ALL || await hasOutcome(this.#options, entryId)) return;
    this.#options.events.offsetWithoutOutcome(entryId);
  }

  async #find(): Promise<void> {
    const { postgres, redis, stream, recordRetentionMs, events } = this.#options;
    // The copy is read first: it is written after the commit, so a row read after it can be behind it only if
    // PostgreSQL lost commits.
    const copy = await readCopy(redis, stream);
    const row = await selectOffset(postgres, stream);
    const { offset, readBefore, copyAhead } = resumptionOf({ row, copy, recordRetentionMs });
    if (copyAhead !== undefined && copyAhead !== this.#knownCopy) {
      this.#knownCopy = copyAhead;
      events.commitsLost({ offset: offset.entryId, copy: copyAhead });
    }
    const isCompared = row === undefined || row.epoch === copy.epoch;
    if (readBefore !== undefined || !isCompared) {
      if (!await offsetCompared(postgres, { stream, from: row!, to: offset, epoch: copy.epoch })) return;
    }
    const version = ++this.#versions;
    this.#readBefore = readBefore ?? this.#readBefore;
    const { entryId, entriesRead } = offset;
    this.#offset = { entryId, entriesRead, version, epoch: copy.epoch, readBefore: this.#readBefore, copyAhead };
    this.#found = { version, copy: copy.offset };
  }

  /** The first look at the stream since the offset was found. */
  async #lookAtStream(offset: VersionedOffset, { copy }: Found, { lastGeneratedId }: StreamState): Promise<void> {
    this.#found = undefined;
    const { entryId, readBefore } = offset;
    if (readBefore !== undefined && !isAtOrBefore(readBefore.entryId, lastGeneratedId)) {
      this.#reportLostTail(readBefore.entryId, entryId, lastGeneratedId);
    }
    // An offset that was set back is the copy, which belongs to this stream.
    if (readBefore === undefined) await this.#checkEntry(offset);
    // The last copy may have failed, and the next batch may come late.
    const isMissing = copy === undefined || !isAtOrBefore(entryId, copy.entryId);
    if (isMissing && entryId !== BEFORE_ALL) this.#copy(offset);
  }

  /**
   * The stream ends before the offset that was found: it lost its tail if the copy fits it, otherwise it is another
   * stream.
   */
  async #endsBefore(offset: VersionedOffset, { copy }: Found, state: StreamState): Promise<void> {
    const { lastGeneratedId, entriesAdded } = state;
    if (copy === undefined || !isAtOrBefore(copy.entryId, lastGeneratedId)) return await this.#startOver(offset, state);
    // Reading resumes at the end of the stream: records may no longer exist that would show which of its entries were
    // read.
    if (!await this.#commit(offset, { entryId: lastGeneratedId, entriesRead: entriesAdded })) return;
    this.#reportLostTail(offset.entryId, lastGeneratedId, lastGeneratedId);
  }

  #reportLostTail(offset: string, resumedBehind: string, lastGeneratedId: string): void {
    if (this.#reportedTail === offset) return;
    this.#reportedTail = offset;
    this.#options.events.tailLost({ offset, resumedBehind, lastGeneratedId });
  }

  async #startOver(offset: VersionedOffset, { entriesAdded, length, lastGeneratedId }: StreamState): Promise<void> {
    const { redis, stream, events } = this.#options;
    // What was already deleted from the new stream does not count as trimmed unread.
    const beginning: Offset = { entryId: BEFORE_ALL, entriesRead: entriesAdded - length };
    if (!await this.#commit(offset, beginning)) return;
    events.anotherStream({ offset: offset.entryId, lastGeneratedId });
    this.#knownCopy = offset.entryId;
    // If Redis refuses writes now, the copy stays ahead until the new stream's ids pass it.
    await replaceCopy(redis, beginning, { stream, epoch: offset.epoch }).catch(() => {});
  }

  async #commit(
    from: VersionedOffset,
    to: Offset,
    options: { isOrdinalCompared?: boolean } = {},
  ): Promise<boolean> {
    const { postgres, stream } = this.#options;
    const isMoved = await moveOffset(postgres, { stream, from, to, ...options });
    this.#offset = isMoved ? { ...from, ...to, version: ++this.#versions } : undefined;
    return isMoved;
  }

  #copy(offset: VersionedOffset): void {
    const { redis, stream } = this.#options;
    // If the copy can't be made now, that of the next batch replaces it.
    this.#copying = copyOffset(redis, offset, { stream, epoch: offset.epoch }).catch(() => {});
  }
}
