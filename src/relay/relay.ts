/**
 * The one place where intake and publishing meet in memory: for each channel, the routes that intake has just accepted,
 * and the wake of the publisher.
 *
 * The relay only saves time: a route that is lost here is claimed when it is due.
 */
import type { Clock } from "../clock.ts";
import type { Intent } from "../notification/intent.ts";
import {
  BIRTH_CLAIM_MS,
  type Channel,
  CHANNELS,
  type ClaimedRoute,
  type NewRoute,
  type StoredRecord,
} from "../notification/route.ts";
import { AcceptedRoutes } from "./accepted_routes.ts";
import { type Batch, type ClaimStart } from "./batch.ts";
import { Wake } from "./wake.ts";

/** The longest time that the consumer waits for room. */
const MAX_WAIT_MS = 1_000;

/** What intake has committed. */
export interface AcceptedBatch extends ClaimStart {
  /** By PostgreSQL's clock, Unix milliseconds. */
  readonly acceptedAtMs: string;
  /** The routes' `next_attempt_at`, as PostgreSQL writes it. */
  readonly claimedUntil: string;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
  readonly intents: readonly { readonly intent: Intent; readonly routes: readonly NewRoute[] }[];
}

export interface ChannelRelay {
  readonly accepted: AcceptedRoutes;
  /** Rung when the publisher has work before its next poll. */
  readonly wake: Wake;
}

export class Relay {
  readonly channels: Readonly<Record<Channel, ChannelRelay>>;

  constructor(clock: Clock) {
    const open = () => ({ accepted: new AcceptedRoutes(clock), wake: new Wake(clock) });
    this.channels = { push: open(), email: open() };
  }

  /** Back-pressure on the consumer: resolves when both channels have room, after a second, or when `signal` aborts. */
  async room(signal: AbortSignal): Promise<void> {
    await Promise.all(CHANNELS.map((channel) => this.channels[channel].accepted.room(MAX_WAIT_MS, signal)));
  }

  /** Hands the accepted routes over to the publishers, and wakes them. */
  handOver(accepted: AcceptedBatch): void {
    for (const [channel, batch] of batchesOf(accepted)) {
      this.channels[channel].accepted.add(batch);
      this.channels[channel].wake.ring();
    }
  }
}

/** The accepted live routes, as a claim would return them: a batch for each channel that has any. */
export function batchesOf(
  { acceptedAtMs, claimedUntil, maxAttempts, intents, takenAtMs, takenAt }: AcceptedBatch,
): Map<Channel, Batch> {
  const routesOf = new Map<Channel, ClaimedRoute[]>();
  for (const { intent, routes } of intents) {
    const record = recordOf(intent, acceptedAtMs);
    for (const { routeId, channel, recipient, recipientEmail, locale, skipped } of routes) {
      if (skipped !== undefined) continue;
      let claimed = routesOf.get(channel);
      if (claimed === undefined) routesOf.set(channel, claimed = []);
      const attempts = { attemptCount: 0, maxAttempts: maxAttempts[channel] };
      claimed.push({ record, routeId, recipient, recipientEmail, locale, ...attempts, claimedUntil });
    }
  }
  const claim = { takenAtMs, takenAt, lifeMs: BIRTH_CLAIM_MS };
  return new Map([...routesOf].map(([channel, routes]) => [channel, { ...claim, routes }]));
}

/** The record of an intent, as it would be read from PostgreSQL. */
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
