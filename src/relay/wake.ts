/**
 * A signal between loops: the loop that creates work rings, the loop that does it waits. A ring during no wait is kept
 * for the next wait; several rings count as one.
 */
import { type Clock, systemClock } from "../clock.ts";

export class Wake {
  readonly #clock: Pick<Clock, "sleep">;
  #rung = false;
  #waiting: (() => void) | undefined;

  constructor(clock: Pick<Clock, "sleep"> = systemClock) {
    this.#clock = clock;
  }

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
      await this.#clock.sleep(ms, ended.signal);
      signal.removeEventListener("abort", end);
      this.#waiting = undefined;
    }
    this.#rung = false;
  }
}
