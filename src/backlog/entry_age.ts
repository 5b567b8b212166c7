/**
 * What is known about the next entry → how long it has existed, and how long intake has not moved although it waits. Pure.
 *
 * An id tells the time at which Redis took the entry in, unless it is ahead of the clock: Redis gives all entries behind one with
 * such an id ids that are ahead too. Then only what was seen tells.
 */
import type { Seen } from "./first_seen.ts";

export interface KnownTimes {
  /** From the id's time to Redis's; below 0 where the id is ahead. */
  readonly byIdMs: number;
  /** Since the offset in PostgreSQL moved; absent where PostgreSQL did not answer, or has no offset yet. */
  readonly movedMs: number | undefined;
  readonly seen: Seen;
}

/** What was seen is not before it was looked at: a reader that looks once knows no more than when the offset moved. */
export function ageOf({ byIdMs, movedMs, seen }: KnownTimes): number {
  if (byIdMs >= 0) return byIdMs;
  return seen.isFirstLook ? movedMs ?? 0 : seen.existsMs;
}

/** Intake stands still from the last move of its offset on, but not before there was an entry. */
export function stalledFor(known: KnownTimes): number {
  const sinceMoveMs = known.movedMs ?? (known.seen.isFirstLook ? Infinity : known.seen.isNextMs);
  return Math.floor(Math.min(sinceMoveMs, ageOf(known)));
}
