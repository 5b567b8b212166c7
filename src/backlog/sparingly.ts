/**
 * An expensive question → its last answer. The question is asked so rarely that it takes 2 % of the time at most; in between
 * the last answer stands. After a failure there is no answer, and the next caller asks again at once: a server that can't be
 * reached does no work for the question.
 *
 * Durations are measured by the monotonic clock, so that setting the system's clock changes no pause.
 */
import type { Clock } from "../clock.ts";

/** How long to wait after a question that took `tookMs`, so that asking takes 2 % of the time at most. */
export function pauseAfter(tookMs: number): number {
  return 49 * tookMs;
}

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

  /** Asks if the pause is over. Resolves with the last answer, after waiting up to `waitMs` for an open question; never rejects. */
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
    this.#notBeforeMs = endedMs + pauseAfter(endedMs - begunMs);
  }
}

/** Resolves with what `promise` resolves to within `ms`, or with `undefined` if it takes longer or rejects. */
export async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ms));
  try {
    return await Promise.race([promise.catch(() => undefined), over]);
  } finally {
    clearTimeout(timer);
  }
}
