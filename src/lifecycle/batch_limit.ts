/** How many items a batch may have: halved when a batch was too much, doubled with each that was not, up to a maximum. */
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

  /** Half of `from`, never below 1. */
  halve(from = this.#value): void {
    this.reduceTo(Math.ceil(from / 2));
  }

  /** At most `limit` from here on, never below 1. */
  reduceTo(limit: number): void {
    this.#value = Math.max(1, Math.min(this.#max, limit));
  }

  grow(): void {
    this.#value = Math.min(this.#max, this.#value * 2);
  }
}
