/**
 * Events of one channel's routes → metrics, spans and logs; one method for each event, none of which throws.
 * Names, units and attributes are those of section 9 of docs/contract.md.
 *
 * `route.publish` is one span for each attempt, from the taking of the route to the commit of its outcome: the child of
 * the record's `intent.process`, which may have ended long before.
 */
import type { Clock } from "../clock.ts";
import { type Channel, type ClaimedRoute, deliveryId } from "../notification/route.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import { countByKind } from "../telemetry/count_by_kind.ts";
import type { Instruments } from "../telemetry/instruments.ts";
import { loggerOf } from "../telemetry/logger.ts";
import { SpanKind, Spans, type Tracing } from "../telemetry/spans.ts";
import { knownTraceId } from "../telemetry/trace_context.ts";
import { describePostgresError } from "../postgres/failures.ts";
import type { Result } from "./write_outcomes.ts";

export type PublishEvents = ReturnType<typeof createPublishEvents>;

export interface PublishEventsOptions {
  readonly channel: Channel;
  /** The outbound stream. */
  readonly stream: string;
  readonly instruments: Instruments;
  readonly tracing: Tracing | undefined;
  readonly clock: Clock;
}

export function createPublishEvents({ channel, stream, instruments, tracing, clock }: PublishEventsOptions) {
  const spans = new Spans("route.publish", tracing);
  const logger = loggerOf(`${channel}_publisher`);
  const foreignTypes = new Set<string>();

  return {
    /**
     * Begins a span for each route. The caller continues with the returned routes: each has the `traceparent` of its
     * span.
     */
    withSpans(routes: readonly ClaimedRoute[]): readonly ClaimedRoute[] {
      if (!spans.isOn) return routes;
      const startTime = clock.now();
      return routes.map((route) => withSpan(spans, route, { channel, stream, startTime }));
    },

    /** Call this with committed outcomes. */
    written(results: readonly Result[]): void {
      const failed = results.filter((result) => result.kind !== "published");
      countPublished(results);
      countByKind(
        instruments.retries,
        failed.filter(({ kind }) => kind === "failed"),
        ({ failure: { classification } }) => ({ channel, classification }),
      );
      countByKind(
        instruments.deadLetters,
        failed.filter(({ kind }) => kind === "dead_letter"),
        ({ failure: { classification } }) => ({ channel, classification }),
      );
      for (const result of failed) {
        const { route, failure: { classification, message } } = result;
        const fields = { ...routeFields(route, channel), ...spans.fieldsOf(route), classification, reason: message };
        if (result.kind === "dead_letter") logger.error("dead letter", fields);
        else logger.warn("attempt failed", { ...fields, retry_in_ms: result.retryInMs });
        spans.end(route, () => ({
          attributes: { "notification.outcome": result.kind },
          error: { type: classification, message },
        }));
      }
    },

    /** From the taking of a batch to the commit of its outcomes. */
    publishDuration(durationMs: number): void {
      instruments.publish.record(durationMs / 1000, { channel });
    },

    /** The script appended nothing for these, because their claim was over. */
    late(routes: number): void {
      instruments.late.add(routes, { channel });
      logger.warn("a batch came too late for its claim: fewer routes at a time from here on", { routes });
    },

    /** Routes of types that another version's catalog may know. */
    leftToOthers(routes: readonly ClaimedRoute[]): void {
      for (const route of routes) {
        const { notificationType } = route.record;
        if (foreignTypes.has(notificationType)) continue;
        foreignTypes.add(notificationType);
        logger.warn("routes of a type that this catalog doesn't know are left to other instances for an hour", {
          ...routeFields(route, channel),
        });
      }
    },

    /** PostgreSQL refuses an outcome for its data. */
    outcomeRefused({ route }: Result, error: unknown): void {
      logger.error("the outcome of a route can't be written: the route is claimed again when its claim ends", {
        ...routeFields(route, channel),
        reason: describePostgresError(error),
      });
    },
  };

  function countPublished(results: readonly Result[]): void {
    const attributes = { channel };
    let published = 0;
    for (const result of results) {
      if (result.kind !== "published") continue;
      const { route, publication: { entryId } } = result;
      published++;
      // Both times are of Redis's clock.
      const latencyMs = Math.max(0, entryTimeMs(entryId) - entryTimeMs(route.record.streamEntryId));
      instruments.latency.record(latencyMs / 1000, attributes);
      spans.end(route, () => ({
        attributes: { "notification.outcome": "published", "messaging.message.id": entryId },
      }));
    }
    if (published > 0) instruments.published.add(published, attributes);
  }
}

/** The route with its own span's `traceparent`, which its entry carries. */
function withSpan(
  spans: Spans,
  route: ClaimedRoute,
  { channel, stream, startTime }: { channel: Channel; stream: string; startTime: number },
): ClaimedRoute {
  const { record, attemptCount, routeId } = route;
  if (!spans.begins(record.traceparent)) return route;
  const { traceparent, span } = spans.begin({
    // The span stays the same until the attempt is answered: an appended entry belongs to it.
    idName: `route.publish ${deliveryId(route)} ${attemptCount}`,
    traceparent: record.traceparent,
    kind: SpanKind.PRODUCER,
    startTime,
    attributes: () => ({
      "messaging.system": "redis",
      "messaging.operation.type": "send",
      "messaging.operation.name": "publish",
      "messaging.destination.name": stream,
      "notification.channel": channel,
      "notification.type": record.notificationType,
      "notification.id": record.notificationId,
      "notification.route_id": routeId,
      "notification.attempt": attemptCount + 1,
      ...(record.requestId === "" ? {} : { "messaging.message.conversation_id": record.requestId }),
    }),
  });
  if (traceparent === record.traceparent) return route;
  const traced = { ...route, traceparent };
  spans.keep(traced, span);
  return traced;
}

/** The log fields of a route. */
function routeFields({ record, routeId }: ClaimedRoute, channel: Channel) {
  const traceId = knownTraceId(record);
  return {
    notification_type: record.notificationType,
    producer: record.producer,
    audience_kind: record.audienceKind,
    notification_id: record.notificationId,
    route_id: routeId,
    channel,
    stream_entry_id: record.streamEntryId,
    ...(record.requestId === "" ? {} : { request_id: record.requestId }),
    ...(traceId === "" ? {} : { trace_id: traceId }),
  };
}
