/**
 * Which loop is in the middle of a pass, and since when: this distinguishes a loop that is stuck from one that waits.
 *
 * A loop between two passes (idle, or backing off from an outage) is never stuck; neither is one whose pass gives signs
 * of progress. Every wait within a pass has a bound, so that an outage ends a pass with an error long before the loop
 * counts as stuck.
 */
import { systemClock } from "../clock.ts";

export class Heartbeats {
  readonly #stuckAfterMs: number;
  readonly #now: () => number;
  readonly #lastBeatMs = new Map<string, number>();

  /** @param stuckAfterMs longer than any pass takes without a sign of progress */
  constructor({ stuckAfterMs, now = systemClock.monotonic }: { stuckAfterMs: number; now?: () => number }) {
    this.#stuckAfterMs = stuckAfterMs;
    this.#now = now;
  }

  passBegan(loop: string): void {
    this.#lastBeatMs.set(loop, this.#now());
  }

  passEnded(loop: string): void {
    this.#lastBeatMs.delete(loop);
  }

  /** A sign of progress within a pass. */
  beat(loop: string): void {
    if (this.#lastBeatMs.has(loop)) this.#lastBeatMs.set(loop, this.#now());
  }

  /** The name of a loop that is stuck, if one is. */
  stuckLoop(): string | undefined {
    const now = this.#now();
    for (const [loop, lastBeatMs] of this.#lastBeatMs) if (now - lastBeatMs > this.#stuckAfterMs) return loop;
    return undefined;
  }
}

/** Several times the longest total wait of a pass for PostgreSQL and Redis. */
const STORES_MS = 60_000;

/** Longer than any pass takes without a sign of progress: the waits that an operator can configure are added. */
export function stuckAfterMs(
  { readBlockTimeoutMs, userServiceTimeoutMs }: { readBlockTimeoutMs: number; userServiceTimeoutMs: number },
): number {
  return STORES_MS + readBlockTimeoutMs + userServiceTimeoutMs;
}
