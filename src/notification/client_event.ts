/**
 * A claimed push route → the entry of `gateway:client-events`, as names and values in turn. docs/contract.md, section
 * 7.
 */
import { type ClaimedRoute, deliveryId } from "./route.ts";

export function clientEvent(route: ClaimedRoute): string[] {
  const { record } = route;
  const fields = [
    "user_id",
    route.recipient.slice("user:".length),
    "event_type",
    record.notificationType,
    "event_id",
    deliveryId(route),
    "payload_bytes",
    record.payload,
    "occurred_at_ms",
    record.occurredAtMs,
  ];
  addCorrelation(fields, route);
  return fields;
}

/**
 * Adds the producer's correlation fields, as far as they are known. If the publication is traced, its `traceparent`
 * continues the trace.
 */
export function addCorrelation(fields: string[], { record, traceparent = record.traceparent }: ClaimedRoute): void {
  if (record.requestId !== "") fields.push("request_id", record.requestId);
  if (record.traceId !== "") fields.push("trace_id", record.traceId);
  if (traceparent !== "") fields.push("traceparent", traceparent);
}
