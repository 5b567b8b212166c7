/**
 * `route.publish`: one span an attempt, from its claim to the commit of its outcome; the child of the record's
 * `intent.process`, however long ago that was. Contract, section 9.
 */
import type { Span } from "@opentelemetry/api";
import { type Channel, deliveryId, type DueRoute } from "../notification/route.ts";
import { endSpan, type SpanError, type SpanFields, spanFields, SpanKind, Spans, type Tracing } from "./spans.ts";

export class RouteSpans {
  readonly #spans: Spans;
  /** Keyed by the route: a span that gets no outcome is collected with it. */
  readonly #open = new WeakMap<DueRoute, Span>();
  readonly #channel: Channel;

  constructor(tracing: Tracing | undefined, channel: Channel) {
    this.#spans = new Spans("route.publish", tracing);
    this.#channel = channel;
  }

  /**
   * The routes, each with its own span's `traceparent`, which is what goes out with its entry. Only these very objects lead to
   * their spans: a copy has none.
   */
  begin(routes: readonly DueRoute[], stream: string): readonly DueRoute[] {
    if (!this.#spans.isOn) return routes;
    const startTime = Date.now();
    return routes.map((route) => {
      const { record, attemptCount } = route;
      if (!this.#spans.begins(record.traceparent)) return route;
      const id = deliveryId(route);
      const { traceparent, span } = this.#spans.begin({
        // The same again until the attempt is answered: whatever was appended, it is this span's.
        idName: `route.publish ${id} ${attemptCount}`,
        traceparent: record.traceparent,
        kind: SpanKind.PRODUCER,
        startTime,
        attributes: () => ({
          "messaging.system": "redis",
          "messaging.operation.type": "send",
          "messaging.operation.name": "publish",
          "messaging.destination.name": stream,
          "notification.channel": this.#channel,
          "notification.type": record.notificationType,
          "notification.id": record.notificationId,
          "notification.route_id": route.routeId,
          "notification.attempt": attemptCount + 1,
          ...(record.requestId === "" ? {} : { "messaging.message.conversation_id": record.requestId }),
        }),
      });
      if (traceparent === record.traceparent) return route;
      const traced = { ...route, traceparent };
      if (span !== undefined) this.#open.set(traced, span);
      return traced;
    });
  }

  fieldsOf(route: DueRoute): SpanFields {
    return spanFields(this.#spans.isOn ? this.#open.get(route) : undefined);
  }

  published(route: DueRoute, entryId: string): void {
    if (!this.#spans.isOn) return;
    const span = this.#open.get(route);
    if (span === undefined) return;
    endSpan(span, { attributes: { "notification.outcome": "published", "messaging.message.id": entryId } });
  }

  failed(route: DueRoute, outcome: "failed" | "dead_letter", error: SpanError): void {
    const span = this.#open.get(route);
    if (span !== undefined) endSpan(span, { attributes: { "notification.outcome": outcome }, error });
  }
}
