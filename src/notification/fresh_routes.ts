/**
 * Routes that this process accepted a moment ago, for its publisher of their channel, which need neither claim them nor read
 * them back.
 *
 * From the reading of its entry a route is its acceptor's alone for {@link FRESH_MS}: the hand-off script appends nothing
 * for it later, and nobody claims it earlier. Whatever is not taken in time, or does not fit, is claimed like any other.
 */
import type { Intent } from "./intent.ts";
import { type Channel, CHANNELS, type DueRoute, type NewRoute, type StoredRecord } from "./route.ts";

export const FRESH_MS = 2_000;
/** Of a channel: several times what waits between the consumer and a publisher that keeps up. */
const MAX_ROUTES = 5_000;
/** The payload counts for each route, though routes of one record share it. */
const MAX_PAYLOAD_CHARACTERS = 4 * 1024 * 1024;

export interface FreshBatch {
  /** Redis's time at which the entries were read, Unix milliseconds; of several readings the first. */
  readonly readAtMs: number;
  readonly routes: readonly DueRoute[];
}

/** What was accepted together. */
export interface Accepted {
  readonly readAtMs: number;
  /** By PostgreSQL's clock, Unix milliseconds. */
  readonly acceptedAtMs: string;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
  readonly intents: readonly { readonly intent: Intent; readonly routes: readonly NewRoute[] }[];
}

/** Of one channel, in the order of their acceptance. */
export class FreshRoutes {
  readonly #batches: (FreshBatch & { readonly endsAt: number; taken: number })[] = [];
  #routes = 0;
  #characters = 0;

  /** What does not fit is left to be claimed; into an empty queue everything fits. */
  add(batch: FreshBatch): void {
    const { routes } = batch;
    const characters = routes.reduce((sum, { record }) => sum + record.payload.length, 0);
    const isRoom = this.#routes + routes.length <= MAX_ROUTES &&
      this.#characters + characters <= MAX_PAYLOAD_CHARACTERS;
    if (routes.length === 0 || !(isRoom || this.isEmpty)) return;
    this.#batches.push({ ...batch, taken: 0, endsAt: performance.now() + FRESH_MS });
    this.#routes += routes.length;
    this.#characters += characters;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** The first ones that are still fresh: one, and as many more as have `limit` routes and `maxCharacters` of payload. */
  take({ limit, maxCharacters }: { limit: number; maxCharacters: number }): FreshBatch | undefined {
    const now = performance.now();
    const routes: DueRoute[] = [];
    let readAtMs = 0;
    let characters = 0;
    while (!this.isEmpty && routes.length < limit && characters < maxCharacters) {
      const batch = this.#batches[0]!;
      const route = batch.routes[batch.taken++]!;
      if (batch.taken === batch.routes.length) this.#batches.shift();
      this.#routes--;
      this.#characters -= route.record.payload.length;
      // The script would refuse what is not fresh any more.
      if (batch.endsAt <= now) continue;
      if (routes.length === 0) readAtMs = batch.readAtMs;
      routes.push(route);
      characters += route.record.payload.length;
    }
    return routes.length === 0 ? undefined : { readAtMs, routes };
  }
}

/** The live routes of what was accepted, by channel, as they would be claimed. */
export function freshRoutesOf({ acceptedAtMs, maxAttempts, intents }: Accepted): Record<Channel, DueRoute[]> {
  const byChannel = Object.fromEntries(CHANNELS.map((channel) => [channel, [] as DueRoute[]])) as Record<
    Channel,
    DueRoute[]
  >;
  for (const { intent, routes } of intents) {
    const record = recordOf(intent, acceptedAtMs);
    for (const { routeId, channel, recipient, recipientEmail, locale, skipped } of routes) {
      if (skipped !== undefined) continue;
      byChannel[channel].push({
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
  return byChannel;
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
