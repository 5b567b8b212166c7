/** The producer's contract (docs/contract.md, section 2): what an entry of the intent stream becomes. */
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
  // By an operator, not by a rule.
  "set_aside",
] as const;
export type MalformedCode = typeof MALFORMED_CODES[number];

/** An entry that keeps every rule that can be checked without asking anybody. */
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
  /** The three below are empty where the producer gave none that can be used. */
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
}

/** An entry that breaks a rule: recorded and passed over. */
export interface Malformed {
  readonly kind: "malformed";
  readonly entry: StreamEntry;
  readonly code: MalformedCode;
  /** For the producer's engineer: which field, and what it should be. */
  readonly message: string;
  /** What could be read of these, as it came; empty where nothing could. */
  readonly notificationType: string;
  readonly producer: string;
  readonly audienceKind: string;
  readonly idempotencyKey: string;
  readonly requestId: string;
  readonly traceId: string;
  readonly traceparent: string;
  /** PostgreSQL refuses the fields in any form: none of them is kept. */
  readonly isWithoutFields?: true;
}

/** An intent that turned out malformed after decoding: by its key, its recipients, or PostgreSQL. */
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
