/**
 * Where the next claim begins to look.
 *
 * Routes become due in the order of time, so that a scan can begin where the last one ended, and need not pass over index
 * entries of finished routes that an old snapshot keeps. What appeared behind that, made by another instance's slower
 * transaction or given up by a publisher, is found by a full scan, often if that is quick.
 */
import { FROM_THE_BEGINNING } from "./claim.ts";

const FULL_SCAN_MS = 1000;
/** While a backlog leaves no short claim to follow with a full scan, or while one takes long. */
const MAX_FULL_SCAN_MS = 10_000;
/** Of the time that full scans may take. */
const FULL_SCAN_SHARE = 0.02;

export class Scan {
  readonly #monotonic: () => number;
  #from = FROM_THE_BEGINNING;
  #lastFullMs = -Infinity;
  #pauseMs = FULL_SCAN_MS;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** The time from which to look. */
  begin(): string {
    if (this.#monotonic() - this.#lastFullMs >= this.#pauseMs) this.startOver();
    return this.#from;
  }

  /** To be called after a scan `from` there. */
  took(durationMs: number, { from, isFull }: { from: string; isFull: boolean }): void {
    if (from !== FROM_THE_BEGINNING) return;
    this.#lastFullMs = this.#monotonic();
    const pauseMs = isFull ? MAX_FULL_SCAN_MS : Math.max(FULL_SCAN_MS, durationMs / FULL_SCAN_SHARE);
    this.#pauseMs = Math.min(MAX_FULL_SCAN_MS, pauseMs);
  }

  /** Everything up to that time was claimed, and is dealt with. */
  goOnFrom(upTo: string): void {
    if (upTo !== "") this.#from = upTo;
  }

  startOver(): void {
    this.#from = FROM_THE_BEGINNING;
  }
}
