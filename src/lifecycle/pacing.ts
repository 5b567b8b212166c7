/**
 * How long work took → how long to pause after it, so that the work takes no more than its share of the time.
 *
 * Measure the work with the clock's `monotonic()`: with the wall clock, setting the system's time ahead by an hour
 * during the work would cause a pause of two days.
 */

/** The share of the time for work that the service can do without. */
const SHARE = 0.02;

export interface PacingOptions {
  /** More than 0, at most 1. */
  readonly share?: number;
  readonly minMs?: number;
  /** Bounds the pause, even if the work then takes more than its share. */
  readonly maxMs?: number;
}

export function pauseAfterMs(
  workMs: number,
  { share = SHARE, minMs = 0, maxMs = Infinity }: PacingOptions = {},
): number {
  return Math.min(maxMs, Math.max(minMs, workMs / share - workMs));
}
