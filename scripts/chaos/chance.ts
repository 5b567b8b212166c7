/**
 * A seed → pseudo-random numbers.
 *
 * The same seed and label give the same sequence on every machine. Each part of the program has its own sequence
 * (`fork`), which does not depend on what the other parts draw.
 */
import { hash } from "node:crypto";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

export class Chance {
  readonly #seed: string;
  readonly #generator;

  constructor(seed: string | number) {
    this.#seed = String(seed);
    this.#generator = xoroshiro128plus(hash("sha256", this.#seed, "buffer").readInt32BE());
  }

  /** Returns an independent sequence for the part of the program that `label` names. */
  fork(label: string | number): Chance {
    return new Chance(`${this.#seed}/${label}`);
  }

  /** A number from 0 (inclusive) to 1 (exclusive). */
  next(): number {
    return uniformFloat64(this.#generator);
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** A whole number; both limits are included. */
  whole(min: number, max: number): number {
    return uniformInt(this.#generator, min, max);
  }

  oneIn(times: number): boolean {
    return this.next() * times < 1;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error("The list to pick from is empty");
    return list[this.whole(0, list.length - 1)]!;
  }

  shuffled<T>(list: readonly T[]): T[] {
    const shuffled = [...list];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.whole(0, at);
      [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
    }
    return shuffled;
  }

  /** Returns one of the items, with a probability proportional to its weight. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let at = this.next() * items.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of items) if ((at -= weight) < 0) return item;
    return items.at(-1)![1];
  }
}
