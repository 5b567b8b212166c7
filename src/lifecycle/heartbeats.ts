/**
 * Which loop is in the middle of a pass, and since when: what tells a loop that is stuck from one that waits.
 *
 * A loop between two passes (idle, or backing off from an outage) is never stuck; neither is one whose pass gives signs
 * of progress. Every wait within a pass has its bound, so that an outage ends a pass with an error long before it counts.
 */
import { systemClock } from "../clock.ts";

export class Heartbeats {
  readonly #stuckAfterMs: number;
  readonly #now: () => number;
  readonly #lastBeatMs = new Map<string, number>();

  /** @param stuckAfterMs longer than any pass goes without a sign of progress */
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

/** Several times as long as the waits of a pass for PostgreSQL and Redis can add up to. */
const STORES_MS = 60_000;

/** Longer than any pass goes without a sign of progress: the waits that an operator may make as long as they like come on top. */
export function stuckAfterMs(
  { readBlockTimeoutMs, userServiceTimeoutMs }: { readBlockTimeoutMs: number; userServiceTimeoutMs: number },
): number {
  return STORES_MS + readBlockTimeoutMs + userServiceTimeoutMs;
}
