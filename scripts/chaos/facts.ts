/**
 * The types of the evidence on a stretch of entries: facts from Redis and PostgreSQL, and the kinds of breaches. A
 * stretch is all entries of a range of milliseconds; it is judged as a whole.
 */
import type { Channel } from "./notification_model.ts";
import type { SentEntry } from "./sent_entry.ts";

export const BREACHES = ["lost", "twice", "false dead letter", "wrong"] as const;

export interface Breach {
  readonly kind: typeof BREACHES[number];
  readonly text: string;
}

export interface RecordFact {
  readonly notificationId: string;
  readonly entryId: string;
}

export interface MalformedFact {
  readonly entryId: string;
  readonly code: string;
}

export interface RouteFact {
  readonly notificationId: string;
  readonly routeId: string;
  readonly status: string;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly classification: string;
  readonly publishedEntryId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface DeadLetterFact {
  readonly notificationId: string;
  readonly routeId: string;
}

/** An entry of an outbound stream. */
export interface OutboundFact {
  readonly channel: Channel;
  readonly entryId: string;
  /** `<notification id>/<route id>` */
  readonly deliveryId: string;
  readonly to: string;
  readonly payload: string;
}

/** A period in which a channel's outbound stream refused entries, so its routes were right to use up attempts. */
export interface RefusalWindow {
  readonly channel: Channel;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A period from which a store has lost all writes or the last ones. */
export interface LossWindow {
  readonly store: "redis" | "postgres";
  readonly fromMs: number;
  readonly toMs: number;
}

/** The allowed values of `max_attempts` for each channel: several if the instances had different settings. */
export type AttemptLimits = Readonly<Record<Channel, readonly number[]>>;

/** What is still needed from earlier stretches. */
interface Earlier {
  /** The content of the accepted intent of each key. */
  readonly keys: ReadonlyMap<string, string>;
  readonly deliveries: ReadonlySet<string>;
}

export interface Tables {
  readonly records: readonly RecordFact[];
  readonly malformed: readonly MalformedFact[];
  readonly routes: readonly RouteFact[];
  readonly deadLetters: readonly DeadLetterFact[];
}

export interface Evidence extends Tables {
  /** In the stream's order. Includes entries that Redis has lost but that have an outcome in PostgreSQL. */
  readonly sent: readonly SentEntry[];
  /** XADDs that Redis acknowledged: the producer's number and the entry id. */
  readonly acknowledged: readonly (readonly [number: number, entryId: string])[];
  readonly outbound: readonly OutboundFact[];
  readonly refusals: readonly RefusalWindow[];
  readonly losses: readonly LossWindow[];
  readonly attemptLimits: AttemptLimits;
  readonly earlier: Earlier;
  /** Retention was very short: finished records may be deleted, and then only their deliveries are judged. */
  readonly finishedMayBeDeleted: boolean;
}

/** Adds a breach to those that were found. */
export type AddBreach = (kind: Breach["kind"], text: string) => void;

/** The consumer's offset after all work is finished, and the end of the stream. */
export interface OffsetFact {
  readonly row: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly copy: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly lastEntryId: string;
  readonly entriesAdded: number;
}
