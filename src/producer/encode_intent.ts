/**
 * A producer's intent → the fields of its stream entry, checked by the same rules as in the service.
 *
 * An intent that the service would find malformed before any look-up is refused here, with a message that names the
 * field. Pure; works without Deno.
 */
import { type Catalog, embeddedCatalog } from "../notification/catalog.ts";
import { checkedFields } from "./checked_fields.ts";
import type { IntentTypes } from "./intent_types.ts";

export type NotificationType = keyof IntentTypes;

type Audience<Kind> = Kind extends "user"
  ? { readonly audience: "user"; /** 1 to 10,000 ids. */ readonly recipientUserIds: readonly string[] }
  : { readonly audience: "admin_email" };

/** An intent of one type, as the catalog declares it. */
export type IntentOf<Type extends NotificationType> =
  & {
    readonly type: Type;
    readonly producer: IntentTypes[Type]["producer"];
    /** 1 to 256 characters, chosen by the producer: a repeated intent has the same key. */
    readonly idempotencyKey: string;
    /** When the event happened: Unix milliseconds or a Date. */
    readonly occurredAt: Date | number;
    readonly payload: IntentTypes[Type]["payload"];
    readonly requestId?: string;
    readonly traceId?: string;
    /** W3C Trace Context. */
    readonly traceparent?: string;
  }
  & Audience<IntentTypes[Type]["audience"]>;

/** Any intent of the catalog. */
export type AnyIntent = { [Type in NotificationType]: IntentOf<Type> }[NotificationType];

/**
 * Names and values in turn, for `XADD`.
 * @throws IntentRefused
 */
export function encodeIntent<Intent extends AnyIntent>(intent: Intent): string[] {
  return checkedFields({
    notification_type: intent.type,
    producer: intent.producer,
    audience_kind: intent.audience,
    recipient_user_ids_json: intent.audience === "user" ? JSON.stringify(intent.recipientUserIds) : undefined,
    idempotency_key: intent.idempotencyKey,
    occurred_at_ms: String(Number(intent.occurredAt)),
    payload_json: JSON.stringify(intent.payload),
    request_id: intent.requestId,
    trace_id: intent.traceId,
    traceparent: intent.traceparent,
  }, defaultCatalog ??= embeddedCatalog());
}

let defaultCatalog: Catalog | undefined;
