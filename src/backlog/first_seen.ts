/**
 * The stream's state at each look → since when an entry has existed, and since when it has been the next one, as far as this
 * reader has seen it. For entries whose ids tell no time, because they are ahead of the clock.
 */
import { compareEntryIds } from "../redis/entry_ids.ts";

interface Look {
  readonly lastId: string;
  readonly atMs: number;
}

export interface Seen {
  /** Since the first look at which the stream had come as far as the entry. */
  readonly existsMs: number;
  /** Since the first look at which it was the next entry. */
  readonly isNextMs: number;
  /** Nothing was seen before. */
  readonly isFirstLook: boolean;
}

/** A day's worth, at one look a minute; what is dropped is the newest but one, so that ages stay right or too low. */
const MAX_LOOKS = 1440;

export class FirstSeen {
  /** In order; each went further than the one before. */
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
