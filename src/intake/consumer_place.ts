/**
 * Where the consumer reads on: found at the start, at a takeover and after a reconnection, held against the stream at every
 * read, moved with every batch. Contract, section 6.
 *
 * The row in PostgreSQL counts; this only remembers it. Whatever is found out about the stream is committed before it is
 * told, so that it is told once, by the one consumer whose commit it was.
 */
import type pg from "pg";
import type { RedisConnection } from "../redis/connection.ts";
import { BEFORE_ALL } from "../redis/entry_ids.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import { copyPlace, findPlace, movePlace, type Place, replaceCopy } from "../stream_offset/stream_offset.ts";
import type { Events } from "../telemetry/events.ts";
import { loggerOf } from "../telemetry/logging.ts";

export interface ConsumerPlaceOptions {
  readonly stream: string;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly events: Events;
}

export class ConsumerPlace {
  readonly #options: ConsumerPlaceOptions;
  readonly #logger = loggerOf("intent_consumer");
  #place: Place | undefined;
  /** The copy that was told to be ahead of the row, or that a stream's replacement left there. */
  #knownCopy: string | undefined;
  #copying: Promise<void> = Promise.resolve();

  constructor(options: ConsumerPlaceOptions) {
    this.#options = options;
  }

  /** To be called when another consumer may have moved it, or Redis may be another one: it is found anew. */
  forget(): void {
    this.#place = undefined;
  }

  async current(): Promise<Place> {
    return this.#place ??= await this.#find();
  }

  /** The place with its ordinal in the stream as it was read; nothing if reading has to start anew. */
  async heldAgainst(place: Place, state: StreamState): Promise<Place | undefined> {
    const standing = standingOf(place, state);
    if (standing.kind === "another_stream") {
      await this.#startAnew(place, state);
      return undefined;
    }
    const { entriesRead, trimmedUnread } = standing;
    const from: Place = { entryId: place.entryId, entriesRead };
    if (trimmedUnread === 0) return from;
    // Of two consumers that find the same, one tells it.
    if (!await this.#commit(place, from, { isOrdinalCompared: true })) return undefined;
    this.#options.events.trimmedUnread(trimmedUnread, this.#options.stream);
    return from;
  }

  /** A batch up to `place` was accepted. */
  moved(place: Place): void {
    // Forgotten during the pass: it is found anew then.
    if (this.#place !== undefined) this.#place = place;
    this.#copy(place);
  }

  /** Resolves when the copy has been made of what was committed, or could not be made. */
  async copied(): Promise<void> {
    await this.#copying;
  }

  async #find(): Promise<Place> {
    const { place, copyAhead } = await findPlace(this.#options);
    if (copyAhead === undefined) {
      // The last copy may have failed, and the next batch be long in coming.
      if (place.entryId !== BEFORE_ALL) this.#copy(place);
    } else if (copyAhead !== this.#knownCopy) {
      this.#knownCopy = copyAhead;
      this.#logger.warn("PostgreSQL lost commits: its place is behind the copy in Redis, entries are read again", {
        place: place.entryId,
        copy: copyAhead,
      });
    }
    return place;
  }

  async #startAnew(place: Place, { entriesAdded, length, lastGeneratedId }: StreamState): Promise<void> {
    const { redis, stream } = this.#options;
    // What is gone from it now was never there for us to read.
    const beginning: Place = { entryId: BEFORE_ALL, entriesRead: entriesAdded - length };
    if (!await this.#commit(place, beginning)) return;
    this.#logger.error("another stream has the old name: it is read from its beginning", {
      stream,
      place: place.entryId,
      last_generated_id: lastGeneratedId,
    });
    this.#knownCopy = place.entryId;
    // Redis may refuse writes just now; the copy then stays ahead until the new stream's ids pass it.
    await replaceCopy(redis, stream, beginning).catch(() => {});
  }

  async #commit(from: Place, to: Place, options: { isOrdinalCompared?: boolean } = {}): Promise<boolean> {
    const { postgres, stream } = this.#options;
    const isMoved = await movePlace(postgres, { stream, from, to, ...options });
    this.#place = isMoved ? to : undefined;
    return isMoved;
  }

  #copy(place: Place): void {
    const { redis, stream } = this.#options;
    // For others to see: if it can't be made now, the next batch's will do.
    this.#copying = copyPlace(redis, stream, place).catch(() => {});
  }
}
