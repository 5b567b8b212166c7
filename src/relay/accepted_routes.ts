/**
 * The first source of batches: a queue of routes of one channel that this process has just accepted, from the consumer
 * to the publisher, in the order of their acceptance. The publisher need neither claim them nor read them from
 * PostgreSQL.
 *
 * The queue is bounded: {@link AcceptedRoutes.room} lets the consumer wait for room, and {@link AcceptedRoutes.add}
 * drops a batch while the queue is full. A route that is dropped, or not taken before its claim ends, is then due like
 * any other route.
 */
import type { Clock } from "../clock.ts";
import type { ClaimedRoute } from "../notification/route.ts";
import { type Batch, isOver, payloadChars } from "./batch.ts";
import { Wake } from "./wake.ts";

/** Several times as many routes as wait between a consumer and a publisher that keeps up. */
const MAX_ROUTES = 4_000;
/** UTF-16 units of payload, counted for each route though routes of one record share it. */
const MAX_CHARS = 4 * 1024 * 1024;

export class AcceptedRoutes {
  readonly #clock: Clock;
  /** `taken`: how many routes of the batch were taken. */
  readonly #batches: (Batch & { taken: number })[] = [];
  readonly #freed: Wake;
  #routes = 0;
  #chars = 0;
  /**
   * The last wait for room timed out and no route was taken since: the publisher makes no progress, and the consumer
   * does not wait again.
   */
  #isStuck = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#freed = new Wake(clock);
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  get #isFull(): boolean {
    return this.#routes >= MAX_ROUTES || this.#chars >= MAX_CHARS;
  }

  /** Back-pressure: resolves when the queue is not full, after `maxMs` milliseconds, or when `signal` aborts. */
  async room(maxMs: number, signal: AbortSignal): Promise<void> {
    this.#dropOver();
    const until = this.#clock.monotonic() + maxMs;
    while (this.#isFull && !this.#isStuck && !signal.aborted) {
      const leftMs = until - this.#clock.monotonic();
      if (leftMs <= 0) this.#isStuck = true;
      else await this.#freed.wait(leftMs, signal);
    }
  }

  /** Adds a batch, unless the queue is full. */
  add(batch: Batch): void {
    this.#dropOver();
    if (this.#isFull || batch.routes.length === 0) return;
    this.#batches.push({ ...batch, taken: 0 });
    this.#routes += batch.routes.length;
    this.#chars += payloadChars(batch.routes);
  }

  /**
   * Takes the first routes whose claims are not over: at most `limit`, and no more once they have `maxChars` of
   * payload.
   */
  take({ limit, maxChars }: { readonly limit: number; readonly maxChars: number }): Batch | undefined {
    this.#dropOver();
    const first = this.#batches[0];
    if (first === undefined) return undefined;
    const { takenAtMs, takenAt, lifeMs } = first;
    const routes: ClaimedRoute[] = [];
    let chars = 0;
    while (!this.isEmpty && routes.length < limit && chars < maxChars) {
      const batch = this.#batches[0]!;
      const route = batch.routes[batch.taken++]!;
      if (batch.taken === batch.routes.length) this.#batches.shift();
      routes.push(route);
      chars += route.record.payload.length;
    }
    this.#free(routes.length, chars);
    // The first claim ends first, so its time holds for all routes.
    return { takenAtMs, takenAt, lifeMs, routes };
  }

  #dropOver(): void {
    const now = this.#clock.monotonic();
    while (!this.isEmpty && isOver(this.#batches[0]!, now)) {
      const { routes, taken } = this.#batches.shift()!;
      const left = routes.slice(taken);
      this.#free(left.length, payloadChars(left));
    }
  }

  #free(routes: number, chars: number): void {
    this.#routes -= routes;
    this.#chars -= chars;
    this.#isStuck = false;
    this.#freed.ring();
  }
}
