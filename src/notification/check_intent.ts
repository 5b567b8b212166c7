/**
 * A stream entry → the content of an intent, or why it is malformed. Pure; never throws, whatever the entry's bytes
 * are. decode.ts computes the intent's identity, which a producer does not need.
 *
 * The rules are those of section 2 of docs/contract.md, checked in its order; the first broken rule counts.
 */
import { AUDIENCE_KINDS, type AudienceKind, type Catalog } from "./catalog.ts";
import { type Breach, decodeOccurredAt, decodePayload, decodeRecipients, usableTraceparent } from "./field_values.ts";
import type { Intent, Malformed } from "./intent.ts";
import { collectFields, type FieldName, type Fields, fieldsBreach } from "./intent_fields.ts";
import { quote, shortened } from "./message_text.ts";
import type { StreamEntry } from "./stream_entry.ts";

/** An intent without its identity. */
export interface CheckedIntent extends Omit<Intent, "notificationId" | "fingerprint"> {
  /** The parsed payload. */
  readonly payloadValue: unknown;
}

export function checkIntent(entry: StreamEntry, catalog: Catalog): CheckedIntent | Malformed {
  const fields: Fields = { __proto__: null } as Fields;
  const repeated = collectFields(entry, fields);
  const decoded = decodeFields(entry, fields, repeated, catalog);
  return "code" in decoded ? malformed(entry, fields, decoded) : decoded;
}

function decodeFields(
  entry: StreamEntry,
  fields: Fields,
  repeated: FieldName | undefined,
  catalog: Catalog,
): CheckedIntent | Breach {
  const breach = fieldsBreach(fields, repeated);
  if (breach !== undefined) return breach;

  const text = fields as Record<FieldName, string>;
  const type = catalog.get(text.notification_type);
  if (type === undefined) {
    return {
      code: "unknown_notification_type",
      message: `notification_type ${quote(text.notification_type)} is not in the catalog`,
    };
  }
  const producer = text.producer;
  if (!type.producers.includes(producer)) {
    return {
      code: "producer_not_allowed",
      message: `producer ${quote(producer)} may not send ${type.name}; allowed: ${type.producers.join(", ")}`,
    };
  }
  const audienceKind = text.audience_kind as AudienceKind;
  if (!AUDIENCE_KINDS.includes(audienceKind) || type.audiences[audienceKind] === undefined) {
    return {
      code: "audience_not_allowed",
      message: `audience_kind ${quote(audienceKind)} is not allowed for ${type.name}; allowed: ${
        Object.keys(type.audiences).join(", ")
      }`,
    };
  }
  const recipients = decodeRecipients(fields.recipient_user_ids_json ?? "", audienceKind);
  if ("code" in recipients) return recipients;

  const occurredAtMs = decodeOccurredAt(text.occurred_at_ms);
  if (typeof occurredAtMs !== "number") return occurredAtMs;

  const payload = decodePayload(fields.payload_json!, type.payloadProblem);
  if ("code" in payload) return payload;

  return {
    kind: "intent",
    entry,
    type,
    producer,
    audienceKind,
    recipientUserIds: recipients,
    idempotencyKey: text.idempotency_key,
    occurredAtMs,
    payload: payload.text,
    payloadValue: payload.value,
    requestId: text.request_id ?? "",
    traceId: text.trace_id ?? "",
    traceparent: usableTraceparent(fields.traceparent),
  };
}

function malformed(entry: StreamEntry, fields: Fields, { code, message }: Breach): Malformed {
  const readable = (name: FieldName) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
  return {
    kind: "malformed",
    entry,
    code,
    message: shortened(message),
    notificationType: readable("notification_type"),
    producer: readable("producer"),
    audienceKind: readable("audience_kind"),
    idempotencyKey: readable("idempotency_key"),
    requestId: readable("request_id"),
    traceId: readable("trace_id"),
    traceparent: usableTraceparent(fields.traceparent),
  };
}
