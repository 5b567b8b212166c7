/**
 * The due time at which the next claim begins.
 *
 * Routes become due in the order of time. A scan can therefore begin where the last one ended, and skips index entries
 * of finished routes that an old snapshot keeps. A route can also be due before that time: if its row was locked, a
 * slow transaction accepted it, or an operator changed it. A full scan finds it: at least every second while that is
 * quick, for at most 2 % of the time, and at least every ten seconds.
 */
import type { Clock } from "../clock.ts";
import { pauseAfterMs } from "../lifecycle/pacing.ts";
import { FROM_THE_BEGINNING } from "./claim_due.ts";

const MIN_PAUSE_MS = 1_000;
/** Also the pause during a backlog, when each scan is full. */
const MAX_PAUSE_MS = 10_000;

export class Scan {
  readonly #clock: Clock;
  #from = FROM_THE_BEGINNING;
  #lastFullAt = -Infinity;
  #pauseMs = MIN_PAUSE_MS;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time from which to look. */
  begin(): string {
    if (this.#clock.monotonic() - this.#lastFullAt >= this.#pauseMs) this.startOver();
    return this.#from;
  }

  /** Call this after a scan that began at `from`. */
  took(durationMs: number, { from, isFull }: { from: string; isFull: boolean }): void {
    if (from !== FROM_THE_BEGINNING) return;
    this.#lastFullAt = this.#clock.monotonic();
    this.#pauseMs = isFull ? MAX_PAUSE_MS : pauseAfterMs(durationMs, { minMs: MIN_PAUSE_MS, maxMs: MAX_PAUSE_MS });
  }

  /** Everything that was due up to that time is claimed. */
  goOnFrom(upTo: string): void {
    this.#from = upTo;
  }

  startOver(): void {
    this.#from = FROM_THE_BEGINNING;
  }
}
