/**
 * What is known about the next entry → how long it has existed, and how long intake has not moved although it waits.
 * Pure.
 *
 * An id shows when Redis received the entry, unless the id is ahead of the clock: Redis gives all entries after such an
 * id ids that are ahead too. Then only the times at which this reader saw the entry are known.
 */
import type { Seen } from "./first_seen.ts";

export interface KnownTimes {
  /** From the id's time to Redis's clock; below 0 if the id is ahead. */
  readonly byIdMs: number;
  /** Since the offset in PostgreSQL moved; `undefined` if PostgreSQL did not answer, or has no offset yet. */
  readonly movedMs: number | undefined;
  readonly seen: Seen;
}

/** A reader that looks for the first time has seen nothing: it goes by the time at which the offset moved. */
export function ageOf({ byIdMs, movedMs, seen }: KnownTimes): number {
  if (byIdMs >= 0) return byIdMs;
  return seen.isFirstLook ? movedMs ?? 0 : seen.existsMs;
}

/** Intake has stalled since its offset last moved, but not longer than an entry has existed. */
export function stalledFor(known: KnownTimes): number {
  const sinceMoveMs = known.movedMs ?? (known.seen.isFirstLook ? Infinity : known.seen.isNextMs);
  return Math.floor(Math.min(sinceMoveMs, ageOf(known)));
}
