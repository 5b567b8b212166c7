/**
 * A mix of intents and a rate per second → entries in the intent stream, and a list of those that Redis acknowledged.
 *
 * An outage does not stop the producer. An intent whose XADD was not answered is sent again later with the same key, as
 * real producers do. So it is in the stream once or twice, or perhaps never if the producer gives it up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Fields, IntentMix } from "./intent_mix.ts";
import { entryMs } from "./sent_entry.ts";
import { STREAMS } from "./setting.ts";

const TICK_MS = 25;
const OUTAGE_PAUSE_MS = 100;
/** An unanswered intent is given up if this many intents already have to be sent again. */
const MAX_TO_SEND_AGAIN = 200;
/** The fields of this many intents are kept: those of at least one minute. */
const MAX_REMEMBERED = 20_000;

export class Producer {
  readonly #redis: Redis;
  readonly #mix: IntentMix;
  /** Unanswered intents, and acknowledged ones that Redis may have lost. */
  readonly #toSendAgain: Fields[] = [];
  #acknowledged: (readonly [number: number, entryId: string])[] = [];
  readonly #fields = new Map<number, Fields>();
  #running: Promise<void> | undefined;
  #stopped = false;
  readonly #rate: number;
  /** The part of the rate that is sent now: less than 1 if the rate would overload an instance. */
  share = 1;
  total = 0;

  constructor(redis: Redis, { mix, rate }: { mix: IntentMix; rate: number }) {
    this.#redis = redis;
    this.#mix = mix;
    this.#rate = rate;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Whether Redis acknowledges `count` more intents within this time; `true` if the producer has stopped. */
  async sent(count: number, withinSeconds: number): Promise<boolean> {
    const until = this.total + count;
    const end = performance.now() + withinSeconds * 1000;
    while (this.total < until && !this.#stopped) {
      if (performance.now() > end) return false;
      await sleep(5);
    }
    return true;
  }

  /** Removes and returns the acknowledged XADDs whose entry id `isOver` accepts. */
  takeAcknowledged(isOver: (entryId: string) => boolean): (readonly [number: number, entryId: string])[] {
    const taken = this.#acknowledged.filter(([, entryId]) => isOver(entryId));
    this.#acknowledged = this.#acknowledged.filter(([, entryId]) => !isOver(entryId));
    return taken;
  }

  /** The fields of a recent intent. */
  fieldsOf(number: number): Fields | undefined {
    return this.#fields.get(number);
  }

  /** Sends again what Redis acknowledged in this period, as producers do after Redis may have lost it. */
  sendAgain({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): void {
    for (const [number, entryId] of this.#acknowledged) {
      const fields = this.#fields.get(number);
      if (fields !== undefined && entryMs(entryId) >= fromMs && entryMs(entryId) <= toMs) {
        this.#toSendAgain.push(fields);
      }
    }
  }

  /** Resolves when all intents that had to be sent again are sent. */
  async allSentAgain(): Promise<void> {
    while (this.#toSendAgain.length > 0 && !this.#stopped) await sleep(TICK_MS);
  }

  async #run(): Promise<void> {
    let unsent = 0;
    let lastMs = performance.now();
    while (!this.#stopped) {
      await sleep(TICK_MS);
      const nowMs = performance.now();
      const rate = this.#rate * this.share;
      unsent = Math.min(rate, unsent + rate * (nowMs - lastMs) / 1000);
      lastMs = nowMs;
      const count = Math.floor(unsent);
      unsent -= count;
      if (count > 0 && !await this.#send(count)) await sleep(OUTAGE_PAUSE_MS);
    }
  }

  /** Returns whether Redis acknowledged all of them. */
  async #send(count: number): Promise<boolean> {
    const intents = Array.from({ length: count }, () => {
      const earlier = this.#toSendAgain.shift();
      return earlier === undefined ? this.#mix.draw() : this.#mix.renumbered(earlier);
    });
    for (const { number, fields } of intents) this.#fields.set(number, fields);
    for (const number of this.#fields.keys()) {
      if (this.#fields.size <= MAX_REMEMBERED) break;
      this.#fields.delete(number);
    }
    const replies = await Promise.allSettled(
      intents.map(({ fields }) => this.#redis.xadd(STREAMS.intents, "*", ...fields.flat())),
    );
    let acknowledged = 0;
    for (const [at, reply] of replies.entries()) {
      const { number, fields } = intents[at]!;
      if (reply.status === "fulfilled" && reply.value !== null) {
        this.#acknowledged.push([number, reply.value]);
        acknowledged++;
      } else if (this.#toSendAgain.length < MAX_TO_SEND_AGAIN) {
        this.#toSendAgain.push(fields);
      }
    }
    this.total += acknowledged;
    return acknowledged === count;
  }
}
