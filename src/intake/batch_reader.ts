/**
 * The consumer's reads: now, ahead of their turn while PostgreSQL accepts what was read before, or as soon as there is an
 * entry. What was read before its turn counts only from the very place that it was read from: a place that was found anew is
 * another, though it names the same entry.
 */
import type { Clock } from "../clock.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { type ReadBatch, readBatch, readWhenThere } from "./read_batch.ts";
import type { Place } from "../stream_offset/stream_offset.ts";

export interface BatchReaderOptions {
  readonly stream: string;
  readonly readBlockTimeoutMs: number;
  readonly redis: RedisConnection;
  /** For reads that wait. */
  readonly blockingRedis: RedisConnection;
  readonly clock: Clock;
}

export class BatchReader {
  readonly #options: BatchReaderOptions;
  #ahead: { readonly place: Place; readonly batch: Promise<ReadBatch> } | undefined;

  constructor(options: BatchReaderOptions) {
    this.#options = options;
  }

  async read(
    place: Place,
    { maxEntries, withoutState }: { maxEntries: number; withoutState: boolean },
  ): Promise<ReadBatch> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.place === place) return await ahead.batch;
    const { clock, redis, stream } = this.#options;
    return await readBatch(redis, { clock, stream, place: place.entryId, maxEntries, withoutState });
  }

  readAhead(place: Place, maxEntries: number): void {
    const { clock, redis, stream } = this.#options;
    const batch = readBatch(redis, { clock, stream, place: place.entryId, maxEntries });
    // Whether it failed counts when its turn has come, which it may not.
    batch.catch(() => {});
    this.#ahead = { place, batch };
  }

  /** Waits for an entry, for the block time at most, and reads for the next {@link read}; cut short when `stop` aborts. */
  async wait(place: Place, { maxEntries, stop }: { maxEntries: number; stop: AbortSignal }): Promise<void> {
    const { clock, blockingRedis, stream, readBlockTimeoutMs: blockMs } = this.#options;
    if (stop.aborted) return;
    const cut = () => blockingRedis.close();
    stop.addEventListener("abort", cut);
    try {
      const batch = await readWhenThere(blockingRedis, { clock, stream, place: place.entryId, maxEntries, blockMs });
      this.#ahead = { place, batch: Promise.resolve(batch) };
    } catch (error) {
      if (!stop.aborted) throw error;
    } finally {
      stop.removeEventListener("abort", cut);
    }
  }
}
