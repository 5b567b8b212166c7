/**
 * What is known about a stretch of entries when it is judged: facts, as Redis and PostgreSQL have them, and the words
 * for what breaks the promise.
 */
import type { Channel } from "./cast.ts";
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

/** A time in which a channel's outbound stream refused entries, so that its routes rightly used up attempts. */
export interface RefusalWindow {
  readonly channel: Channel;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A time of which a store has lost the writes, or the last of them. */
export interface LossWindow {
  readonly store: "redis" | "postgres";
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * How many attempts a route of each channel may have: several numbers where not all instances had the same settings.
 */
export type AttemptLimits = Readonly<Record<Channel, readonly number[]>>;

/** What earlier stretches have left behind. */
interface Earlier {
  /** The content that a key stands for. */
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
  /** In the stream's order; those among them that Redis has lost have an outcome in PostgreSQL. */
  readonly sent: readonly SentEntry[];
  /** XADDs that Redis acknowledged: the producer's number and the entry id. */
  readonly acknowledged: readonly (readonly [number: number, entryId: string])[];
  readonly outbound: readonly OutboundFact[];
  readonly refusals: readonly RefusalWindow[];
  readonly losses: readonly LossWindow[];
  readonly attemptLimits: AttemptLimits;
  readonly earlier: Earlier;
  /** Retention was as good as none: records that are finished may be gone, and then their deliveries alone count. */
  readonly finishedMayBeGone: boolean;
}

/** Takes a breach down. */
export type Note = (kind: Breach["kind"], text: string) => void;

/** The consumer's place once nothing is left over, and how the stream ends. */
export interface PlaceFact {
  readonly row: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly copy: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly lastEntryId: string;
  readonly entriesAdded: number;
}
