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
 * `published`, `dead_letter` and `skipped` are terminal: only the retention cleaner touches such a route again.
 */

export const CHANNELS = ["push", "email"] as const;
export type Channel = typeof CHANNELS[number];

export const ROUTE_STATUSES = ["pending", "failed", "published", "dead_letter", "skipped"] as const;
export type RouteStatus = typeof ROUTE_STATUSES[number];

/** The statuses that a publisher may still move a route out of. */
export const LIVE_STATUSES = ["pending", "failed"] as const satisfies readonly RouteStatus[];

export const SKIP_REASONS = ["recipient_email_missing", "admin_emails_not_configured"] as const;
export type SkipReason = typeof SKIP_REASONS[number];

export const FAILURE_CLASSIFICATIONS = [
  "payload_encoding_failed",
  "gateway_stream_publish_failed",
  "mail_stream_publish_failed",
] as const;
export type FailureClassification = typeof FAILURE_CLASSIFICATIONS[number];

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
}

/** A live route as a publisher takes it. */
export interface DueRoute {
  readonly record: StoredRecord;
  readonly routeId: string;
  readonly recipient: string;
  readonly recipientEmail: string;
  readonly locale: string;
  readonly attemptCount: number;
  readonly maxAttempts: number;
  /** Of this publication, where it is traced: what goes out in the place of the record's. */
  readonly traceparent?: string;
}

/** `<notification_id>/<route_id>`: what neighbours know an outbound entry by. */
export function deliveryId(route: DueRoute): string {
  return `${route.record.notificationId}/${route.routeId}`;
}
