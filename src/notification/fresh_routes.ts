/**
 * Routes that this process accepted a moment ago, for its publisher of their channel, which need neither claim them nor read
 * them back.
 *
 * For {@link FRESH_MS} from a moment before its acceptance, as a rule the reading of its entry, a route is its acceptor's
 * alone: the hand-off script appends nothing for it later, and nobody claims it earlier. Whatever is not taken in time, or
 * does not fit, is claimed like any other.
 */
import type { Intent } from "./intent.ts";
import type { Channel, DueRoute, NewRoute, StoredRecord } from "./route.ts";

export const FRESH_MS = 2_000;
/** Of a channel: several times what waits between the consumer and a publisher that keeps up. */
const MAX_ROUTES = 5_000;
/** The payload counts for each route, though routes of one record share it. */
const MAX_PAYLOAD_CHARACTERS = 4 * 1024 * 1024;

/** For how long what is accepted now is fresh. */
export interface Freshness {
  /** Redis's time before the acceptance began, Unix milliseconds. */
  readonly freshFromMs: number;
  /** The end, by this process's monotonic clock. */
  readonly freshUntil: number;
}

/** Routes accepted together. */
export interface FreshBatch extends Freshness {
  readonly routes: readonly DueRoute[];
}

export interface Taken {
  /** Of several acceptances the first. */
  readonly freshFromMs: number;
  readonly routes: readonly DueRoute[];
}

/** What was accepted together. */
export interface Accepted extends Freshness {
  /** By PostgreSQL's clock, Unix milliseconds. */
  readonly acceptedAtMs: string;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
  readonly intents: readonly { readonly intent: Intent; readonly routes: readonly NewRoute[] }[];
}

/** Of one channel, in the order of their acceptance. */
export class FreshRoutes {
  readonly #batches: (FreshBatch & { taken: number })[] = [];
  readonly #monotonic: () => number;
  #routes = 0;
  #characters = 0;

  /** @param monotonic this process's monotonic clock, milliseconds */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** What does not fit is left to be claimed; into an empty queue everything fits. */
  add(batch: FreshBatch): void {
    const { routes } = batch;
    this.#dropExpired();
    const characters = routes.reduce((sum, { record }) => sum + record.payload.length, 0);
    const isRoom = this.#routes + routes.length <= MAX_ROUTES &&
      this.#characters + characters <= MAX_PAYLOAD_CHARACTERS;
    if (routes.length === 0 || !(isRoom || this.isEmpty)) return;
    this.#batches.push({ ...batch, taken: 0 });
    this.#routes += routes.length;
    this.#characters += characters;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** The first ones that are still fresh: one, and as many more as have `limit` routes and `maxCharacters` of payload. */
  take({ limit, maxCharacters }: { limit: number; maxCharacters: number }): Taken | undefined {
    this.#dropExpired();
    const routes: DueRoute[] = [];
    let freshFromMs = 0;
    let characters = 0;
    while (!this.isEmpty && routes.length < limit && characters < maxCharacters) {
      const batch = this.#batches[0]!;
      const route = batch.routes[batch.taken++]!;
      if (batch.taken === batch.routes.length) this.#batches.shift();
      this.#routes--;
      this.#characters -= route.record.payload.length;
      if (routes.length === 0) freshFromMs = batch.freshFromMs;
      routes.push(route);
      characters += route.record.payload.length;
    }
    return routes.length === 0 ? undefined : { freshFromMs, routes };
  }

  /** The script would refuse what is not fresh any more. */
  #dropExpired(): void {
    const now = this.#monotonic();
    while (!this.isEmpty && this.#batches[0]!.freshUntil <= now) {
      const { routes, taken } = this.#batches.shift()!;
      for (const { record } of routes.slice(taken)) {
        this.#routes--;
        this.#characters -= record.payload.length;
      }
    }
  }
}

/** The live routes of what was accepted, as they would be claimed: a batch for each channel that has some. */
export function freshRoutesOf(
  { acceptedAtMs, maxAttempts, intents, ...freshness }: Accepted,
): Map<Channel, FreshBatch> {
  const batches = new Map<Channel, Freshness & { readonly routes: DueRoute[] }>();
  for (const { intent, routes } of intents) {
    const record = recordOf(intent, acceptedAtMs);
    for (const { routeId, channel, recipient, recipientEmail, locale, skipped } of routes) {
      if (skipped !== undefined) continue;
      let batch = batches.get(channel);
      if (batch === undefined) batches.set(channel, batch = { ...freshness, routes: [] });
      batch.routes.push({
        record,
        routeId,
        recipient,
        recipientEmail,
        locale,
        attemptCount: 0,
        maxAttempts: maxAttempts[channel],
      });
    }
  }
  return batches;
}

/** The record that an intent became, as it would be read back. */
function recordOf(intent: Intent, acceptedAtMs: string): StoredRecord {
  return {
    notificationId: intent.notificationId,
    notificationType: intent.type.name,
    producer: intent.producer,
    audienceKind: intent.audienceKind,
    payload: intent.payload,
    occurredAtMs: String(intent.occurredAtMs),
    acceptedAtMs,
    requestId: intent.requestId,
    traceId: intent.traceId,
    traceparent: intent.traceparent,
    streamEntryId: intent.entry.id,
  };
}
