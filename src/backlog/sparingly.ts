/**
 * An expensive query → its last answer. The query is made so rarely that it takes at most 2 % of the time; in between
 * the last answer is returned. After a failure there is no answer, and the next caller asks again at once, since a
 * server that can't be reached does no work for the query.
 *
 * Durations are measured by the monotonic clock, so that setting the system's clock changes no pause.
 */
import type { Clock } from "../clock.ts";
import { within } from "../lifecycle/bounded_wait.ts";
import { pauseAfterMs } from "../lifecycle/pacing.ts";

export class Sparingly<Answer> {
  readonly #ask: () => Promise<Answer>;
  readonly #clock: Clock;
  #asking: Promise<void> | undefined;
  #answer: Answer | undefined;
  #notBeforeMs = -Infinity;

  constructor(ask: () => Promise<Answer>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /**
   * Asks if the pause is over. Resolves with the last answer, after waiting up to `waitMs` for an open question; never
   * rejects.
   */
  async latest(waitMs: number): Promise<Answer | undefined> {
    if (this.#asking === undefined && this.#clock.monotonic() >= this.#notBeforeMs) {
      this.#asking = this.#askNow().finally(() => this.#asking = undefined);
    }
    if (this.#asking !== undefined) await within(waitMs, this.#asking);
    return this.#answer;
  }

  async #askNow(): Promise<void> {
    const begunMs = this.#clock.monotonic();
    try {
      this.#answer = await this.#ask();
    } catch {
      // The loops meet the same outage and report it.
      this.#answer = undefined;
      return;
    }
    const endedMs = this.#clock.monotonic();
    this.#notBeforeMs = endedMs + pauseAfterMs(endedMs - begunMs);
  }
}
