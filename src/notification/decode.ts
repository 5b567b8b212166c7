/** A stream entry → an intent with its identity, or why it is malformed. Pure; never throws. */
import type { Catalog } from "./catalog.ts";
import { checkIntent } from "./check_intent.ts";
import { notificationId, requestFingerprint } from "./identity.ts";
import type { Intent, Malformed } from "./intent.ts";
import type { StreamEntry } from "./stream_entry.ts";

export function decode(entry: StreamEntry, catalog: Catalog): Intent | Malformed {
  const checked = checkIntent(entry, catalog);
  if (checked.kind === "malformed") return checked;
  const { payload, payloadValue } = checked;
  const { type, producer, audienceKind, recipientUserIds, idempotencyKey } = checked;
  const sameness = { notificationType: type.name, audienceKind, recipientUserIds, payload, payloadValue };
  // Each member is listed, without the parsed payload, which is not kept: `...` takes several times as long.
  return {
    kind: "intent",
    entry,
    notificationId: notificationId(entry.id, producer, idempotencyKey),
    fingerprint: requestFingerprint(sameness),
    type,
    producer,
    audienceKind,
    recipientUserIds,
    idempotencyKey,
    occurredAtMs: checked.occurredAtMs,
    payload,
    requestId: checked.requestId,
    traceId: checked.traceId,
    traceparent: checked.traceparent,
  };
}
