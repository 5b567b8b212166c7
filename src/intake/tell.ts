/** What became of a batch → metrics, logs and spans. */
import type { Catalog } from "../notification/catalog.ts";
import type { Intent, Malformed } from "../notification/intent.ts";
import type { Events, IntentFields } from "../telemetry/events.ts";
import { knownTraceId } from "../telemetry/trace_context.ts";
import type { AcceptanceResult } from "./accept.ts";

const MAX_FIELD_CHARACTERS = 256;

export function tellOutcomes(
  { accepted, duplicates, malformed }: Extract<AcceptanceResult, { kind: "done" }>,
  { events, catalog }: { events: Events; catalog: Catalog },
): void {
  events.accepted(accepted.map(({ intent }) => intentFields(intent)));
  events.duplicate(duplicates.map(intentFields));
  events.malformed(malformed.map((item) => ({
    fields: malformedFields(item),
    type: catalog.has(item.notificationType) ? item.notificationType : "unknown",
    code: item.code,
    reason: item.message,
  })));
  const skipped = accepted.flatMap(({ routes }) => routes.filter((route) => route.skipped !== undefined));
  events.skipped(skipped.map(({ channel, skipped }) => ({ channel, classification: skipped! })));
}

function intentFields(intent: Intent): IntentFields {
  return {
    notification_type: intent.type.name,
    producer: intent.producer,
    audience_kind: intent.audienceKind,
    notification_id: intent.notificationId,
    stream_entry_id: intent.entry.id,
    ...correlation(intent),
  };
}

function malformedFields(item: Malformed): IntentFields {
  return {
    notification_type: item.notificationType.slice(0, MAX_FIELD_CHARACTERS),
    producer: item.producer.slice(0, MAX_FIELD_CHARACTERS),
    audience_kind: item.audienceKind.slice(0, MAX_FIELD_CHARACTERS),
    stream_entry_id: item.entry.id,
    ...correlation(item),
  };
}

/** Those that are not known are undefined, and not in the log. */
function correlation({ requestId, traceId, traceparent }: { requestId: string; traceId: string; traceparent: string }) {
  const trace = knownTraceId({ traceId, traceparent });
  return {
    request_id: requestId === "" ? undefined : requestId.slice(0, MAX_FIELD_CHARACTERS),
    trace_id: trace === "" ? undefined : trace.slice(0, MAX_FIELD_CHARACTERS),
  };
}
