/**
 * A route: one delivery of one notification over one channel to one recipient, and the moves it may make.
 *
 *                     ┌──────────────► published            publisher: the outbound entry is in the stream
 *     (accepted)      │
 *    ───────► pending ┼──► failed ──┬─► published           publisher, at a later attempt
 *        │            │      ▲  │   │
 *        │            │      └──┘   ├─► dead_letter         publisher: the last attempt failed
 *        │            │   next try  │
 *        │            └─────────────┴─► dead_letter         publisher: cannot be encoded, or only one attempt
 *        └──► skipped                                       consumer: there is nobody to deliver to
 *
 * `published`, `dead_letter` and `skipped` are terminal: only the retention cleaner touches such a route again. A live route
 * belongs to the process that has claimed it last, until the claim ends (`relay/batch.ts`).
 */

export const CHANNELS = ["push", "email"] as const;
export type Channel = typeof CHANNELS[number];

export const ROUTE_STATUSES = ["pending", "failed", "published", "dead_letter", "skipped"] as const;
export type RouteStatus = typeof ROUTE_STATUSES[number];

export const SKIP_REASONS = ["recipient_email_missing", "admin_emails_not_configured"] as const;
type SkipReason = typeof SKIP_REASONS[number];

export const FAILURE_CLASSIFICATIONS = [
  "payload_encoding_failed",
  "gateway_stream_publish_failed",
  "mail_stream_publish_failed",
] as const;
export type FailureClassification = typeof FAILURE_CLASSIFICATIONS[number];

/**
 * How long the claim lives that a route is born with, in milliseconds: long enough for the process that accepted it, short enough
 * for the routes of one that died.
 */
export const BIRTH_CLAIM_MS = 2_000;
/** How long a later claim lives. The waits of a pass for PostgreSQL and Redis end earlier (`config/rules.ts`). */
export const CLAIM_MS = 10_000;

/** A route as the consumer creates it. */
export interface NewRoute {
  readonly routeId: string;
  readonly channel: Channel;
  readonly recipient: string;
  /** Address that the mail goes to; empty for push, and for a route that is skipped. */
  readonly recipientEmail: string;
  /** The recipient's language; empty where it is not known. */
  readonly locale: string;
  /** Why the route is `skipped` from birth; absent for one that is `pending`. */
  readonly skipped?: SkipReason;
}

/** What of a record goes into the outbound entries of its routes. */
export interface StoredRecord {
  readonly notificationId: string;
  readonly notificationType: string;
  readonly producer: string;
  readonly audienceKind: string;
  /** The producer's text. */
  readonly payload: string;
  readonly occurredAtMs: string;
  readonly acceptedAtMs: string;
  /** The three below are empty where the producer gave none. */
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
  readonly streamEntryId: string;
  /** Why its routes can't be encoded (any more); absent where they can. */
  readonly problem?: EncodingProblem;
}

export interface EncodingProblem {
  /** `unknown_type`: another version's catalog may know the type. */
  readonly kind: "unknown_type" | "unusable";
  readonly message: string;
}

/** A live route that a publisher of this process has claimed. */
export interface ClaimedRoute {
  readonly record: StoredRecord;
  readonly routeId: string;
  readonly recipient: string;
  readonly recipientEmail: string;
  readonly locale: string;
  readonly attemptCount: number;
  readonly maxAttempts: number;
  /** The `next_attempt_at` that the claim has set, as PostgreSQL writes it: while it stands, the claim is this one. */
  readonly claimedUntil: string;
  /** Of this publication, where it is traced: goes out instead of the record's. */
  readonly traceparent?: string;
}

/** `<notification_id>/<route_id>`: what neighbours know an outbound entry by. */
export function deliveryId(route: ClaimedRoute): string {
  return `${route.record.notificationId}/${route.routeId}`;
}
