/**
 * A bound on the work that one check of a payload may take, in steps of some 10 to 20 ns, so that no payload can keep
 * the process's one thread busy for longer than a moment. Counted, not timed: what is refused once is refused always.
 *
 * A part of a check that takes longer than the payload is long counts its steps; when there are too many it throws.
 */
import { quote } from "./message_text.ts";

/** Some 0.2 s. A payload of 256 KiB whose time grows with its length alone takes a hundredth of it. */
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
