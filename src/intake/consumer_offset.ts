/**
 * Where the consumer reads on: found at the start, at a takeover, after a reconnection and on another server, compared with the
 * stream at every read, moved with every batch. `docs/contract.md`, sections 6 and 11.
 *
 * The row in PostgreSQL counts; this only remembers it. On another server than before, where its copy is behind it, Redis may have
 * lost entries, and the row is set back to the copy (`stream_offset/resume.ts`). Every finding about the stream is committed before it
 * is reported, so that it is reported once, by the one consumer whose commit it was.
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
}

/** An offset as this consumer found it: one that was found again has another version, though it names the same entry. */
export interface VersionedOffset extends Offset {
  readonly version: number;
  /** Of the server that it was found on: entries of another one are not behind it. */
  readonly epoch: string;
  /** Entries up to this one were read before: the row, where that was set back. */
  readonly readBefore?: Offset | undefined;
  /**
   * The copy, where it is ahead: PostgreSQL has lost commits. Redis may have lost entries as well before that, which the row's ordinal
   * then counts; behind this entry the ordinal is unknown until the end of the stream is reached.
   */
  readonly copyAhead?: string | undefined;
}

/** What was found, until it has been compared with the stream. */
interface Found {
  readonly version: number;
  readonly copy: Offset | undefined;
}

export class ConsumerOffset {
  readonly #options: ConsumerOffsetOptions;
  #offset: VersionedOffset | undefined;
  #versions = 0;
  #found: Found | undefined;
  /** The stream as it was when it was last looked at. */
  #state: StreamState | undefined;
  /** Up to where entries were read before the row was set back last. */
  #readBefore: Offset | undefined;
  /** The end of what was read that was reported as lost. */
  #reportedTail: string | undefined;
  /** The copy that was reported to be ahead of the row, or that a stream's replacement left there. */
  #knownCopy: string | undefined;
  #copying: Promise<void> = Promise.resolve();

  constructor(options: ConsumerOffsetOptions) {
    this.#options = options;
  }

  /** Call this when another consumer may have moved the offset, or Redis may be another one: it is found again. */
  forget(): void {
    this.#offset = undefined;
  }

  async current(): Promise<VersionedOffset> {
    while (this.#offset === undefined) await this.#find();
    return this.#offset;
  }

  /** The offset behind `entries` more entries, the last of which is `entryId`: to be moved to. */
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
   * The offset with its ordinal in the stream as it was read; absent if it has to be found, and read from, again.
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
      // Of this stream as far as the copy goes, which it has lived with: only the row's ordinal is wrong.
      const isSame = copyAhead !== undefined && isAtOrBefore(copyAhead, state.lastGeneratedId);
      if (isSame) await this.#commit(offset, { entryId, entriesRead: undefined });
      else await this.#startOver(offset, state);
      return undefined;
    }
    if (found !== undefined) await this.#lookAtStream(offset, found, state);
    const { entriesRead } = standing;
    const { entryId } = offset;
    if (offset.entriesRead === undefined && entriesRead !== undefined && entryId !== BEFORE_ALL) {
      // The end of the stream has made the ordinal known.
      return await this.#commit(offset, { entryId, entriesRead }) ? this.#offset : undefined;
    }
    const trimmedUnread = standing.trimmedUnread - trimmedAfterRead(offset, standing.trimmedUnread);
    if (trimmedUnread === 0) {
      const compared = { ...offset, entriesRead };
      if (this.#offset?.version === offset.version) this.#offset = compared;
      return compared;
    }
    // Of two consumers that find the same, one reports it.
    if (!await this.#commit(offset, { entryId, entriesRead }, { isOrdinalCompared: true })) return undefined;
    this.#options.events.trimmedUnread(trimmedUnread);
    return this.#offset;
  }

  /** The ordinal of the entry if it was the stream's last when that was looked at. */
  #ordinalOfEnd(entryId: string): number | undefined {
    return this.#state?.lastGeneratedId === entryId ? this.#state.entriesAdded : undefined;
  }

  /** A batch up to `offset` was accepted. */
  moved(offset: VersionedOffset): void {
    // Forgotten during the pass: it is found again then.
    if (this.#offset !== undefined) this.#offset = offset;
    if (offset.readBefore === undefined) this.#readBefore = undefined;
    this.#copy(offset);
  }

  /** Resolves when the copy has been made of what was committed, or could not be made. */
  async copied(): Promise<void> {
    await this.#copying;
  }

  /**
   * Another stream may have the old name with ids and ordinals that fit: then the entry at the offset is one that was never read.
   * Reported only, since reading from the beginning would publish again what retention has deleted the records of.
   */
  async #checkEntry({ entryId }: Offset): Promise<void> {
    if (entryId === BEFORE_ALL || await hasOutcome(this.#options, entryId)) return;
    this.#options.events.offsetWithoutOutcome(entryId);
  }

  async #find(): Promise<void> {
    const { postgres, redis, stream, recordRetentionMs, events } = this.#options;
    // The copy first: it follows the commit, so that a row read after it can't be behind, unless PostgreSQL lost commits.
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
    // An offset that was set back is the copy's, whose entries are those of this stream.
    if (readBefore === undefined) await this.#checkEntry(offset);
    // The last copy may have failed, and the next batch be long in coming.
    const isMissing = copy === undefined || !isAtOrBefore(entryId, copy.entryId);
    if (isMissing && entryId !== BEFORE_ALL) this.#copy(offset);
  }

  /** The stream ends before the offset that was found: it lost its tail if the copy fits it, else it is another one. */
  async #endsBefore(offset: VersionedOffset, { copy }: Found, state: StreamState): Promise<void> {
    const { lastGeneratedId, entriesAdded } = state;
    if (copy === undefined || !isAtOrBefore(copy.entryId, lastGeneratedId)) return await this.#startOver(offset, state);
    // All that is there is older than the records that would recognise it.
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
    // What was deleted from it by now was never there for us to read.
    const beginning: Offset = { entryId: BEFORE_ALL, entriesRead: entriesAdded - length };
    if (!await this.#commit(offset, beginning)) return;
    events.anotherStream({ offset: offset.entryId, lastGeneratedId });
    this.#knownCopy = offset.entryId;
    // Redis may refuse writes just now; the copy then stays ahead until the new stream's ids pass it.
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
    // If it can't be made now, the next batch's will do.
    this.#copying = copyOffset(redis, offset, { stream, epoch: offset.epoch }).catch(() => {});
  }
}
