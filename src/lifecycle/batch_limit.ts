/**
 * How many items a batch may have: half as many after a batch that was too large, twice as many after one that was not.
 *
 * The value is a whole number, never below 1 and never above the maximum. Only `grow` raises it.
 */
export class BatchLimit {
  readonly #max: number;
  #value: number;

  constructor(max: number) {
    this.#max = max;
    this.#value = max;
  }

  get value(): number {
    return this.#value;
  }

  /** @param from the size of the batch that was too large, if it was smaller than the limit */
  halve(from: number = this.#value): void {
    this.reduceTo(from / 2);
  }

  /** A fraction is rounded up; a limit that is already lower stays. */
  reduceTo(limit: number): void {
    this.#value = Math.min(this.#value, Math.max(1, Math.ceil(limit)));
  }

  grow(): void {
    this.#value = Math.min(this.#max, this.#value * 2);
  }
}
