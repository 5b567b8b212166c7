/**
 * A question whose answer takes its time → the last answer, found again so seldom that the question takes 2 % of the time
 * at most. In between the last answer stands. After a failure there is none, and the question is put again when somebody
 * wants to know: whoever can't be reached does no work for it.
 */
import type { Clock } from "../clock.ts";

/** Pauses between two questions, in durations of the last one. */
const PAUSES = 49;

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

  /** Asks if it is time to; resolves with what is known when the question is answered, or `waitMs` are over. */
  async latest(waitMs: number): Promise<Answer | undefined> {
    if (this.#asking === undefined && this.#clock.now() >= this.#notBeforeMs) {
      this.#asking = this.#askNow().finally(() => this.#asking = undefined);
    }
    if (this.#asking !== undefined) await within(waitMs, this.#asking);
    return this.#answer;
  }

  async #askNow(): Promise<void> {
    const begunMs = this.#clock.now();
    try {
      this.#answer = await this.#ask();
    } catch {
      // The loops meet the same outage and tell of it; here there is no answer meanwhile.
      this.#answer = undefined;
      return;
    }
    const endedMs = this.#clock.now();
    this.#notBeforeMs = endedMs + PAUSES * (endedMs - begunMs);
  }
}

/** What `promise` resolves to within `ms`; nothing if it takes longer or rejects. */
export async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ms));
  try {
    return await Promise.race([promise.catch(() => undefined), over]);
  } finally {
    clearTimeout(timer);
  }
}
