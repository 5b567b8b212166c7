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
 *        └──► skipped                                       consumer: there is no address
 *
 * `published`, `dead_letter` and `skipped` are terminal: afterwards only the retention cleaner touches the route, and
 * the repair loop, which puts a published route back to `pending` if Redis has lost its entry. A live route belongs to
 * the process that has claimed it last, until the claim ends (`relay/batch.ts`).
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
 * How long the claim of a new route lives, in milliseconds: long enough for the process that accepted it to publish it,
 * short enough for the routes of a process that died.
 */
export const BIRTH_CLAIM_MS = 2_000;
/** How long a later claim lives. The waits of a pass for PostgreSQL and Redis are shorter (`config/rules.ts`). */
export const CLAIM_MS = 10_000;

/** A route as the consumer creates it. */
export interface NewRoute {
  readonly routeId: string;
  readonly channel: Channel;
  readonly recipient: string;
  /** The mail's address; empty for push, and for a skipped route. */
  readonly recipientEmail: string;
  /** The recipient's language; empty if it is unknown. */
  readonly locale: string;
  /** Why the route is `skipped` from the beginning; `undefined` for one that is `pending`. */
  readonly skipped?: SkipReason;
}

/** The part of a record that is needed for the outbound entries of its routes. */
export interface StoredRecord {
  readonly notificationId: string;
  readonly notificationType: string;
  readonly producer: string;
  readonly audienceKind: string;
  /** The producer's text. */
  readonly payload: string;
  readonly occurredAtMs: string;
  readonly acceptedAtMs: string;
  /** This and the next two are empty if the producer gave no value. */
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
  readonly streamEntryId: string;
  /** Why its routes can't be encoded (any more); `undefined` if they can. */
  readonly problem?: EncodingProblem;
}

export interface EncodingProblem {
  /** `unknown_type`: the catalog of another version may have the type. */
  readonly kind: "unknown_type" | "unusable";
  readonly message: string;
}

/** A live route that this process has claimed: at its acceptance, or when it was due. */
export interface ClaimedRoute {
  readonly record: StoredRecord;
  readonly routeId: string;
  readonly recipient: string;
  readonly recipientEmail: string;
  readonly locale: string;
  readonly attemptCount: number;
  readonly maxAttempts: number;
  /**
   * The `next_attempt_at` that the claim has set, as PostgreSQL writes it: the end of the claim. While the row has this
   * value, no other process has claimed the route since.
   */
  readonly claimedUntil: string;
  /** The `traceparent` of this publication, if it is traced; it is published instead of the record's. */
  readonly traceparent?: string;
}

/** `<notification_id>/<route_id>`: identifies an outbound entry for its readers. */
export function deliveryId(route: ClaimedRoute): string {
  return `${route.record.notificationId}/${route.routeId}`;
}
