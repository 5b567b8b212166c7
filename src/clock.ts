/**
 * The only door to time and chance outside the database.
 *
 * SQL uses the database's clock, the hand-off script Redis's; everything else asks a {@link Clock}, so that tests can
 * set it.
 */
import { setTimeout as delay } from "node:timers/promises";

export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Milliseconds since a moment that is the same throughout the process: goes on evenly when the system's clock is set. */
  monotonic(): number;
  /** A number in [0, 1). */
  random(): number;
  /** Resolves after `ms` milliseconds (24 days at most), or as soon as `signal` aborts. Never rejects, leaves no timer and no listener. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A longer timer would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    try {
      await delay(Math.min(ms, MAX_TIMER_MS), undefined, { signal });
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  },
};
