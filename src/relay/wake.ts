/**
 * A signal between loops: the loop that creates work rings, the loop that does it waits. A ring during no wait is kept
 * for the next wait; several rings count as one.
 */
import { systemClock } from "../clock.ts";

export class Wake {
  #rung = false;
  #waiting: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#waiting?.();
  }

  /** Resolves at the next ring, after `ms` milliseconds, or when `signal` aborts; never rejects. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const ended = new AbortController();
      const end = () => ended.abort();
      this.#waiting = end;
      signal.addEventListener("abort", end);
      await systemClock.sleep(ms, ended.signal);
      signal.removeEventListener("abort", end);
      this.#waiting = undefined;
    }
    this.#rung = false;
  }
}
