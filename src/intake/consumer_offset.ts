/**
 * Where the consumer reads on: found at the start, at a takeover and after a reconnection, compared with the stream at every
 * read, moved with every batch. Contract, section 6.
 *
 * The row in PostgreSQL counts; this only remembers it. Every finding about the stream is committed before it is reported, so
 * that it is reported once, by the one consumer whose commit it was.
 */
import type pg from "pg";
import type { RedisConnection } from "../redis/connection.ts";
import { BEFORE_ALL } from "../redis/entry_ids.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import { copyOffset, findOffset, moveOffset, type Offset, replaceCopy } from "../stream_offset/stream_offset.ts";
import { loggerOf } from "../telemetry/logging.ts";
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
}

export class ConsumerOffset {
  readonly #options: ConsumerOffsetOptions;
  readonly #logger = loggerOf("intent_consumer");
  #offset: VersionedOffset | undefined;
  #versions = 0;
  /** Whether the entry at the offset was looked at since that was found. */
  #isEntryChecked = false;
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
    return this.#offset ??= this.#versioned(await this.#find());
  }

  /** The offset behind `entries` more entries, the last of which is `entryId`: to be moved to. */
  behind(from: VersionedOffset, { entryId, entries }: { entryId: string; entries: number }): VersionedOffset {
    const { entriesRead } = from;
    return this.#versioned({ entryId, entriesRead: entriesRead === undefined ? undefined : entriesRead + entries });
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
    const standing = standingOf(offset, state, { isAtEnd });
    if (standing.kind === "another_stream") {
      await this.#startOver(offset, state);
      return undefined;
    }
    const { entriesRead, trimmedUnread } = standing;
    const { entryId } = offset;
    if (offset.entriesRead === undefined && entriesRead !== undefined && entryId !== BEFORE_ALL) {
      // The end of the stream has made the ordinal known.
      return await this.#commit(offset, { entryId, entriesRead }) ? this.#offset : undefined;
    }
    if (trimmedUnread === 0) {
      if (!this.#isEntryChecked) await this.#checkEntry(offset);
      const compared = { entryId, entriesRead, version: offset.version };
      if (this.#offset?.version === offset.version) this.#offset = compared;
      return compared;
    }
    // Of two consumers that find the same, one reports it.
    if (!await this.#commit(offset, { entryId, entriesRead }, { isOrdinalCompared: true })) return undefined;
    this.#options.events.trimmedUnread(trimmedUnread);
    return this.#offset;
  }

  /** A batch up to `offset` was accepted. */
  moved(offset: VersionedOffset): void {
    // Forgotten during the pass: it is found again then.
    if (this.#offset !== undefined) this.#offset = offset;
    this.#copy(offset);
  }

  /** Resolves when the copy has been made of what was committed, or could not be made. */
  async copied(): Promise<void> {
    await this.#copying;
  }

  #versioned({ entryId, entriesRead }: Offset): VersionedOffset {
    return { entryId, entriesRead, version: ++this.#versions };
  }

  /**
   * Another stream may have the old name with ids and ordinals that fit: then the entry at the offset is one that was never read.
   * Reported only, since reading from the beginning would publish again what retention has deleted the records of.
   */
  async #checkEntry({ entryId }: Offset): Promise<void> {
    this.#isEntryChecked = true;
    if (entryId === BEFORE_ALL || await hasOutcome(this.#options, entryId)) return;
    this.#logger.error(
      "the entry at the offset has no outcome: another stream may have the old name, what is before it is not read",
      {
        stream: this.#options.stream,
        offset: entryId,
      },
    );
  }

  async #find(): Promise<Offset> {
    this.#isEntryChecked = false;
    const { offset, copyAhead } = await findOffset(this.#options);
    if (copyAhead === undefined) {
      // The last copy may have failed, and the next batch be long in coming.
      if (offset.entryId !== BEFORE_ALL) this.#copy(offset);
    } else if (copyAhead !== this.#knownCopy) {
      this.#knownCopy = copyAhead;
      this.#logger.warn("PostgreSQL lost commits: its offset is behind the copy in Redis, entries are read again", {
        offset: offset.entryId,
        copy: copyAhead,
      });
    }
    return offset;
  }

  async #startOver(offset: Offset, { entriesAdded, length, lastGeneratedId }: StreamState): Promise<void> {
    const { redis, stream } = this.#options;
    // What was deleted from it by now was never there for us to read.
    const beginning: Offset = { entryId: BEFORE_ALL, entriesRead: entriesAdded - length };
    if (!await this.#commit(offset, beginning)) return;
    this.#logger.error("another stream has the old name: it is read from its beginning", {
      stream,
      offset: offset.entryId,
      last_generated_id: lastGeneratedId,
    });
    this.#knownCopy = offset.entryId;
    // Redis may refuse writes just now; the copy then stays ahead until the new stream's ids pass it.
    await replaceCopy(redis, stream, beginning).catch(() => {});
  }

  async #commit(from: Offset, to: Offset, options: { isOrdinalCompared?: boolean } = {}): Promise<boolean> {
    const { postgres, stream } = this.#options;
    const isMoved = await moveOffset(postgres, { stream, from, to, ...options });
    this.#offset = isMoved ? this.#versioned(to) : undefined;
    return isMoved;
  }

  #copy(offset: Offset): void {
    const { redis, stream } = this.#options;
    // For others to see: if it can't be made now, the next batch's will do.
    this.#copying = copyOffset(redis, stream, offset).catch(() => {});
  }
}
