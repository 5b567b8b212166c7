/**
 * A mix of intents and a rate → entries in the intent stream, and the list of those that Redis acknowledged.
 *
 * Never stops for an outage; an intent whose XADD was not answered is sent again later under the same key, as producers
 * do, so that it is in the stream once, twice or, if it is given up, perhaps never.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Fields, IntentMix } from "./intent_mix.ts";
import { entryMs } from "./sent_entry.ts";
import { STREAMS } from "./setting.ts";

const TICK_MS = 25;
const OUTAGE_PAUSE_MS = 100;
/** More of them wait after an outage than are worth sending. */
const MOST_UNANSWERED = 200;
/** How many of the last intents are remembered: those of a minute at least. */
const MAX_REMEMBERED = 20_000;

export class Producer {
  readonly #redis: Redis;
  readonly #mix: IntentMix;
  readonly #unanswered: Fields[] = [];
  #acknowledged: (readonly [number: number, entryId: string])[] = [];
  readonly #fields = new Map<number, Fields>();
  #running: Promise<void> | undefined;
  #stopped = false;
  readonly #rate: number;
  /** The part of the rate that is sent now: less, where an instance would be busy with nothing else. */
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

  /** Whether Redis acknowledges so many more within that time; yes when nothing is sent any more. */
  async sent(count: number, withinSeconds: number): Promise<boolean> {
    const until = this.total + count;
    const end = performance.now() + withinSeconds * 1000;
    while (this.total < until && !this.#stopped) {
      if (performance.now() > end) return false;
      await sleep(5);
    }
    return true;
  }

  /** Takes out the acknowledged XADDs that `isOver` accepts. */
  takeAcknowledged(isOver: (entryId: string) => boolean): (readonly [number: number, entryId: string])[] {
    const taken = this.#acknowledged.filter(([, entryId]) => isOver(entryId));
    this.#acknowledged = this.#acknowledged.filter(([, entryId]) => !isOver(entryId));
    return taken;
  }

  /** What an intent was that was sent not long ago. */
  fieldsOf(number: number): Fields | undefined {
    return this.#fields.get(number);
  }

  /** Sends once more what was acknowledged in that time, as producers do who learn that Redis may have lost it. */
  sendAgain({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): void {
    for (const [number, entryId] of this.#acknowledged) {
      const fields = this.#fields.get(number);
      if (fields !== undefined && entryMs(entryId) >= fromMs && entryMs(entryId) <= toMs) this.#unanswered.push(fields);
    }
  }

  /** Resolves when nothing is left that is to be sent once more. */
  async repeated(): Promise<void> {
    while (this.#unanswered.length > 0 && !this.#stopped) await sleep(TICK_MS);
  }

  async #run(): Promise<void> {
    let owed = 0;
    let lastMs = performance.now();
    while (!this.#stopped) {
      await sleep(TICK_MS);
      const nowMs = performance.now();
      const rate = this.#rate * this.share;
      owed = Math.min(rate, owed + rate * (nowMs - lastMs) / 1000);
      lastMs = nowMs;
      const count = Math.floor(owed);
      owed -= count;
      if (count > 0 && !await this.#send(count)) await sleep(OUTAGE_PAUSE_MS);
    }
  }

  /** Whether all of them were acknowledged. */
  async #send(count: number): Promise<boolean> {
    const intents = Array.from({ length: count }, () => {
      const unanswered = this.#unanswered.shift();
      return unanswered === undefined ? this.#mix.draw() : this.#mix.again(unanswered);
    });
    for (const { number, fields } of intents) this.#fields.set(number, fields);
    for (const number of this.#fields.keys()) {
      if (this.#fields.size <= MAX_REMEMBERED) break;
      this.#fields.delete(number);
    }
    const replies = await Promise.allSettled(
      intents.map(({ fields }) => this.#redis.xadd(STREAMS.intents, "*", ...fields.flat())),
    );
    let answered = 0;
    for (const [at, reply] of replies.entries()) {
      const { number, fields } = intents[at]!;
      if (reply.status === "fulfilled" && reply.value !== null) {
        this.#acknowledged.push([number, reply.value]);
        answered++;
      } else if (this.#unanswered.length < MOST_UNANSWERED) {
        this.#unanswered.push(fields);
      }
    }
    this.total += answered;
    return answered === count;
  }
}
