/**
 * A seed → numbers that look like chance.
 *
 * The same seed and label give the same row of numbers on every machine, and what one part draws does not move what
 * another part gets (`fork`).
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

  /** A row of numbers of its own, for the part of the program that `label` names. */
  fork(label: string | number): Chance {
    return new Chance(`${this.#seed}/${label}`);
  }

  /** From 0 up to and without 1. */
  next(): number {
    return uniformFloat64(this.#generator);
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** A whole number, both ends included. */
  whole(least: number, most: number): number {
    return uniformInt(this.#generator, least, most);
  }

  oneIn(times: number): boolean {
    return this.next() * times < 1;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error("Nothing to pick from");
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

  /** An item, each as likely as its weight says. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let at = this.next() * items.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of items) if ((at -= weight) < 0) return item;
    return items.at(-1)![1];
  }
}
