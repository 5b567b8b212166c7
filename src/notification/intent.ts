/** What an entry of the intent stream becomes: an intent, or a malformed intent (docs/contract.md, section 2). */
import type { AudienceKind, CatalogType } from "./catalog.ts";
import type { StreamEntry } from "./stream_entry.ts";

export const MALFORMED_CODES = [
  "invalid_fields",
  "unknown_notification_type",
  "producer_not_allowed",
  "audience_not_allowed",
  "invalid_recipients",
  "invalid_occurred_at",
  "invalid_payload",
  "idempotency_conflict",
  "recipient_not_found",
  // Set by an operator, not by a rule.
  "set_aside",
] as const;
export type MalformedCode = typeof MALFORMED_CODES[number];

/** An entry that keeps every rule that can be checked without a look-up. */
export interface Intent {
  readonly kind: "intent";
  readonly entry: StreamEntry;
  readonly notificationId: string;
  /** Hexadecimal. */
  readonly fingerprint: string;
  readonly type: CatalogType;
  readonly producer: string;
  readonly audienceKind: AudienceKind;
  /** Each user once, in the producer's order; empty for `admin_email`. */
  readonly recipientUserIds: readonly string[];
  readonly idempotencyKey: string;
  readonly occurredAtMs: number;
  /** The producer's text. */
  readonly payload: string;
  /** This and the next two are empty if the producer gave no usable value. */
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
}

/** An entry that breaks a rule: recorded and passed over. */
export interface Malformed {
  readonly kind: "malformed";
  readonly entry: StreamEntry;
  readonly code: MalformedCode;
  /** For the producer's engineers: which field is wrong, and what it should be. */
  readonly message: string;
  /** This and the next ones hold what could be read; empty if nothing could. */
  readonly notificationType: string;
  readonly producer: string;
  readonly audienceKind: string;
  readonly idempotencyKey: string;
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
  /** Set if PostgreSQL refuses the fields in any form: none of them is kept. */
  readonly isWithoutFields?: true;
}

/** An intent that is malformed because of its key, its recipients, or PostgreSQL, which is found after decoding. */
export function malformedIntent(intent: Intent, code: MalformedCode, message: string): Malformed {
  const { entry, producer, audienceKind, idempotencyKey, requestId, traceId, traceparent } = intent;
  return {
    kind: "malformed",
    entry,
    code,
    message,
    notificationType: intent.type.name,
    producer,
    audienceKind,
    idempotencyKey,
    requestId,
    traceId,
    traceparent,
  };
}
