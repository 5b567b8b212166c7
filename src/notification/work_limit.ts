/**
 * A bound on the work of one payload check, in steps of 10 to 20 ns, so that no payload keeps the process's only thread
 * busy for long. Steps are counted, not timed: a payload that is refused once is always refused.
 *
 * The parts of a check whose time can grow faster than the payload's length count their steps, and throw at too many.
 */
import { quote } from "./message_text.ts";

/** About 0.2 s. A payload of 256 KiB takes a hundredth of it if its time grows only with its length. */
const MAX_STEPS = 2 ** 23;

export class TooManySteps extends Error {}

export class WorkLimit {
  #left = MAX_STEPS;

  /** Call this before each check. */
  start(): void {
    this.#left = MAX_STEPS;
  }

  /** @throws TooManySteps, with `keyword` and `value` in its message */
  spend(steps: number, keyword: string, value?: string): void {
    this.#left -= steps;
    if (this.#left >= 0) return;
    const part = value === undefined ? keyword : `${keyword} ${quote(value)}`;
    throw new TooManySteps(`takes more than ${MAX_STEPS} steps to check (${part})`);
  }
}
