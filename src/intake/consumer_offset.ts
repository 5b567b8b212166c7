/**
 * The offset after which the consumer reads: found at the start, at a takeover, after a reconnection and on another
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
import type { StreamState } from "../stream_offset/ordinals.ts";
import { resumptionOf } from "../stream_offset/resume.ts";
import {
  copyOffset,
  moveOffset,
  type Offset,
  offsetCompared,
  readCopy,
  replaceCopy,
  selectOffset,
} from "../stream_offset/stream_offset.ts";
import { compareOffset, type VersionedOffset } from "./compare_offset.ts";
import type { IntakeEvents } from "./events.ts";
import { hasOutcome } from "./has_outcome.ts";

export interface ConsumerOffsetOptions {
  readonly stream: string;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly events: IntakeEvents;
  readonly recordRetentionMs: number;
  readonly malformedRetentionMs: number;
}

export class ConsumerOffset {
  readonly #options: ConsumerOffsetOptions;
  #offset: VersionedOffset | undefined;
  #versions = 0;
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

  /**
   * The offset with its ordinal in the stream as it was read; `undefined` if it has to be found again and the batch
   * read again.
   *
   * @param options.isAtEnd no entry was after it
   */
  async comparedWith(
    offset: VersionedOffset,
    state: StreamState,
    options: { readonly isAtEnd: boolean },
  ): Promise<VersionedOffset | undefined> {
    this.#state = state;
    const { entryId, found } = offset;
    const comparison = compareOffset(offset, state, options);
    switch (comparison.kind) {
      case "find_again":
        this.forget();
        return undefined;
      case "tail_lost":
        await this.#resumeAtEnd(offset, state);
        return undefined;
      case "another_stream":
        await this.#startOver(offset, state);
        return undefined;
      case "wrong_ordinal":
        await this.#commit(offset, { entryId, entriesRead: undefined });
        return undefined;
      case "fits":
        break;
      default:
        return comparison satisfies never;
    }
    if (found !== undefined) await this.#checkFound(offset, found.copy, state);
    const { entriesRead, trimmedUnread, isOrdinalNew } = comparison;
    if (trimmedUnread > 0) {
      // If two consumers find the same, only the one that commits it reports it.
      if (!await this.#commit(offset, { entryId, entriesRead }, { isOrdinalCompared: true })) return undefined;
      this.#options.events.trimmedUnread(trimmedUnread);
      return this.#offset;
    }
    if (isOrdinalNew) return await this.#commit(offset, { entryId, entriesRead }) ? this.#offset : undefined;
    const compared = { ...offset, entriesRead, found: undefined };
    if (this.#offset?.version === offset.version) this.#offset = compared;
    return compared;
  }

  /** The offset to move to: `entries` entries after `from`, the last of which is `entryId`. */
  after(from: VersionedOffset, { entryId, entries }: { entryId: string; entries: number }): VersionedOffset {
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
    this.#offset = {
      ...{ entryId, entriesRead, version, epoch: copy.epoch },
      ...{ found: { copy: copy.offset }, readBefore: this.#readBefore, copyAhead },
    };
  }

  /** The first comparison with the stream since the offset was found. */
  async #checkFound(
    offset: VersionedOffset,
    copy: Offset | undefined,
    { lastGeneratedId }: StreamState,
  ): Promise<void> {
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
   * Another stream may have the old name, with ids and ordinals that fit: the entry at the offset is then one that was
   * never read. This is only reported: reading from the beginning would publish again what retention has deleted the
   * records of.
   */
  async #checkEntry({ entryId }: Offset): Promise<void> {
    if (entryId === BEFORE_ALL || await hasOutcome(this.#options, entryId)) return;
    this.#options.events.offsetWithoutOutcome(entryId);
  }

  /**
   * Reading resumes at the end of the stream: records may no longer exist that would show which of its entries were
   * read.
   */
  async #resumeAtEnd(offset: VersionedOffset, { lastGeneratedId, entriesAdded }: StreamState): Promise<void> {
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
    this.#offset = isMoved ? { ...from, ...to, found: undefined, version: ++this.#versions } : undefined;
    return isMoved;
  }

  #copy(offset: VersionedOffset): void {
    const { redis, stream } = this.#options;
    // If the copy can't be made now, that of the next batch replaces it.
    this.#copying = copyOffset(redis, offset, { stream, epoch: offset.epoch }).catch(() => {});
  }
}
