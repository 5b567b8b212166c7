/**
 * The outcomes of one channel that are being written while the passes continue: their number bounds how far the
 * publisher may go ahead, and the error of the last failed write is reported by the publisher's next pass.
 */
import { outageOf } from "../lifecycle/outage.ts";
import { MAX_BATCH_CHARS, payloadChars } from "../relay/batch.ts";
import type { Result } from "./write_outcomes.ts";

/** Back-pressure: at most this many batches, or as much payload, may be published but not yet written to PostgreSQL. */
const MAX_BATCHES = 2;

export class Unwritten {
  readonly #hurry: () => void;
  #routes = 0;
  #chars = 0;
  /** Resolves when everything added so far is written, or could not be. */
  #all: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  /** @param hurry called before a wait for the running writes */
  constructor(hurry: () => void) {
    this.#hurry = hurry;
  }

  /**
   * Resolves when another batch may be published.
   * @throws the error of a write that has failed since the last call
   */
  async room(batchSize: number): Promise<void> {
    while (this.#routes >= MAX_BATCHES * batchSize || this.#chars >= MAX_BATCHES * MAX_BATCH_CHARS) {
      await this.drained();
    }
    this.throwFailure();
  }

  add(results: readonly Result[], writing: Promise<void>): void {
    this.#all = bothOver(this.#all, this.#count(results, writing));
  }

  /** Resolves when nothing is left to be written. */
  async drained(): Promise<void> {
    this.#hurry();
    await this.#all;
  }

  throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  async #count(results: readonly Result[], writing: Promise<void>): Promise<void> {
    const chars = payloadChars(results.map(({ route }) => route));
    this.#routes += results.length;
    this.#chars += chars;
    try {
      await writing;
    } catch (error) {
      // A defect is more important than an outage.
      if (this.#failure === undefined || outageOf(error) === undefined) this.#failure = { error };
    } finally {
      this.#routes -= results.length;
      this.#chars -= chars;
    }
  }
}

/** Not `Promise.all` alone: its result would hold that of the pass before, and so those of all passes. */
export async function bothOver(one: Promise<void>, other: Promise<void>): Promise<void> {
  await Promise.all([one, other]);
}
