/**
 * The consumer's reads: the next batch after its offset, compared with the stream as it is.
 *
 * A batch comes in one of three ways: at once; read ahead, while PostgreSQL accepted the batch before; or as soon as
 * there is an entry, by a blocking read. A batch that was read ahead is used only if the offset still has the version
 * that it was read from.
 */
import type { Clock } from "../clock.ts";
import type { BatchLimit } from "../lifecycle/batch_limit.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { RedisError } from "../redis/failures.ts";
import { loggerOf } from "../telemetry/logger.ts";
import type { VersionedOffset } from "./compare_offset.ts";
import type { ConsumerOffset } from "./consumer_offset.ts";
import { type ReadBatch, readBatch, readWhenThere } from "./read_batch.ts";

export interface IntentReaderOptions {
  readonly stream: string;
  readonly readBlockTimeoutMs: number;
  readonly redis: RedisConnection;
  /** For reads that wait. */
  readonly blockingRedis: RedisConnection;
  readonly clock: Clock;
}

export interface Reading {
  /** Where the batch was read from. */
  readonly from: VersionedOffset;
  readonly batch: ReadBatch;
}

export class IntentReader {
  readonly #options: IntentReaderOptions;
  readonly #offset: ConsumerOffset;
  readonly #limit: BatchLimit;
  #ahead: { readonly version: number; readonly batch: Promise<ReadBatch> } | undefined;
  /** The last entry of the stream when the last batch was read: after it the reader waits without looking first. */
  #endOfStream: string | undefined;
  /**
   * While Redis needs too long for a single entry, batches are read without the stream's state: a later read finds what
   * was trimmed.
   */
  #isStateTooExpensive = false;
  /** The entry after which a blocking read lost its connection. */
  #disconnectedAfter: string | undefined;

  constructor(options: IntentReaderOptions, { offset, limit }: { offset: ConsumerOffset; limit: BatchLimit }) {
    this.#options = options;
    this.#offset = offset;
    this.#limit = limit;
    for (const redis of [options.redis, options.blockingRedis]) {
      redis.onReady(() => {
        offset.forget();
        this.#endOfStream = undefined;
      });
    }
  }

  /**
   * The next batch, of one entry at least; `undefined` when no entry came in time, or the offset has to be found again.
   */
  async next(stop: AbortSignal): Promise<Reading | undefined> {
    const offset = await this.#offset.current();
    const isAtEnd = offset.entryId === this.#endOfStream;
    // Only once: if the wait fails because the entries that come take Redis too long, the next read takes fewer of
    // them.
    this.#endOfStream = undefined;
    if (isAtEnd) {
      await this.#wait(offset, stop);
      if (stop.aborted || (await this.#offset.current()).version !== offset.version) return undefined;
    }
    const batch = await this.#read(offset);
    if (batch.epoch !== offset.epoch) {
      // Another server: what is after the offset there is not known.
      this.#offset.forget();
      return undefined;
    }
    const { state, entries } = batch;
    const from = state === undefined
      ? offset
      : await this.#offset.comparedWith(offset, state, { isAtEnd: entries.length === 0 });
    if (from === undefined) return undefined;
    if (entries.length === 0) {
      if (!isAtEnd) await this.#wait(from, stop);
      return undefined;
    }
    this.#endOfStream = state?.lastGeneratedId;
    this.#reportLargeEntry(offset, batch);
    return { from, batch };
  }

  /** Begins to read the batch after an offset that is not committed yet. */
  readAhead(offset: VersionedOffset): void {
    const batch = readBatch(this.#options.redis, this.#readOptions(offset));
    // A failure is thrown when the batch is used, which may never happen.
    batch.catch(() => {});
    this.#ahead = { version: offset.version, batch };
  }

  async #read(offset: VersionedOffset): Promise<ReadBatch> {
    try {
      const ahead = this.#ahead;
      this.#ahead = undefined;
      const batch = ahead?.version === offset.version
        ? await ahead.batch
        : await readBatch(this.#options.redis, this.#readOptions(offset));
      this.#isStateTooExpensive = false;
      return batch;
    } catch (error) {
      // No answer in time: the next read takes fewer entries, down to one, and then one without the stream's state.
      if (error instanceof RedisError && error.code === "") {
        this.#isStateTooExpensive ||= this.#limit.value === 1;
        this.#limit.reduceTo(this.#limit.value / 32);
      }
      throw error;
    }
  }

  /** Waits for an entry, at most for the block time, and reads it for the next pass; ends early when `stop` aborts. */
  async #wait(offset: VersionedOffset, stop: AbortSignal): Promise<void> {
    const { blockingRedis, readBlockTimeoutMs: blockMs } = this.#options;
    if (stop.aborted) return;
    const cut = () => blockingRedis.close();
    stop.addEventListener("abort", cut);
    try {
      const batch = await readWhenThere(blockingRedis, { ...this.#readOptions(offset), blockMs });
      this.#ahead = { version: offset.version, batch: Promise.resolve(batch) };
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof RedisError && error.code === "") this.#disconnectedAfter = offset.entryId;
      throw error;
    } finally {
      stop.removeEventListener("abort", cut);
    }
  }

  /**
   * Warns that a large entry has probably ended a blocking read: Redis closes a connection whose reply is over its
   * limit.
   */
  #reportLargeEntry({ entryId }: VersionedOffset, { entries: [first] }: ReadBatch): void {
    if (this.#disconnectedAfter === entryId && first?.fields === undefined) {
      loggerOf("intent_consumer").warn(
        "an entry seems larger than Redis's client-output-buffer-limit: it is read in pieces",
        { stream_entry_id: first?.id },
      );
    }
    this.#disconnectedAfter = undefined;
  }

  #readOptions({ entryId }: VersionedOffset) {
    const { clock, stream } = this.#options;
    return { clock, stream, after: entryId, maxEntries: this.#limit.value, withoutState: this.#isStateTooExpensive };
  }
}
