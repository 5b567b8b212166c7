/**
 * The stream's state at each look → since when this reader has seen that an entry exists, and that it is the next one.
 * Needed for entries whose ids are ahead of the clock and show no time.
 */
import { compareEntryIds } from "../redis/entry_ids.ts";

interface Look {
  readonly lastId: string;
  readonly atMs: number;
}

export interface Seen {
  /** Since the first look at which the stream held the entry. */
  readonly existsMs: number;
  /** Since the first look at which it was the next entry. */
  readonly isNextMs: number;
  /** Nothing was seen before. */
  readonly isFirstLook: boolean;
}

/** One day of looks, one each minute. The second newest look is dropped, so that ages are exact or too low. */
const MAX_LOOKS = 1440;

export class FirstSeen {
  /** In order; each look saw a later end of the stream than the one before. */
  readonly #looks: Look[] = [];
  #next: { readonly entryId: string; readonly sinceMs: number } | undefined;

  /** @param look.atMs by a monotonic clock */
  note(nextId: string, { lastId, atMs }: Look): Seen {
    const newest = this.#looks.at(-1);
    const isFirstLook = newest === undefined;
    if (newest !== undefined && compareEntryIds(lastId, newest.lastId) < 0) this.#looks.length = 0;
    if (newest === undefined || lastId !== newest.lastId) this.#looks.push({ lastId, atMs });
    if (this.#looks.length > MAX_LOOKS) this.#looks.splice(-2, 1);
    while (this.#looks.length > 1 && compareEntryIds(this.#looks[0]!.lastId, nextId) < 0) this.#looks.shift();
    if (this.#next?.entryId !== nextId) this.#next = { entryId: nextId, sinceMs: atMs };
    return { existsMs: atMs - this.#looks[0]!.atMs, isNextMs: atMs - this.#next.sinceMs, isFirstLook };
  }
}
