/**
 * `route.publish`: one span an attempt, from its claim to the commit of its outcome; the child of the record's
 * `intent.process`, however long ago that was. Contract, section 9.
 */
import { type Channel, deliveryId, type DueRoute } from "../notification/route.ts";
import { BatchSpans, type SpanFields, SpanKind, type Tracing } from "./spans.ts";

export class RouteSpans {
  readonly #spans: BatchSpans;
  readonly #channel: Channel;

  constructor(tracing: Tracing | undefined, channel: Channel) {
    this.#spans = new BatchSpans("route.publish", tracing);
    this.#channel = channel;
  }

  get isOn(): boolean {
    return this.#spans.isOn;
  }

  /** The routes, each with its own span's `traceparent`, which is what goes out with its entry. */
  begin(routes: readonly DueRoute[], stream: string): readonly DueRoute[] {
    if (!this.#spans.isOn) return routes;
    const startTime = Date.now();
    return routes.map((route) => {
      const { record, attemptCount } = route;
      if (!this.#spans.begins(record.traceparent)) return route;
      const id = deliveryId(route);
      const traceparent = this.#spans.begin({
        key: id,
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
      return traceparent === record.traceparent ? route : { ...route, traceparent };
    });
  }

  /** To be called when what became of them has been told: an attempt without an outcome has no span. */
  over(routes: readonly DueRoute[]): void {
    if (!this.#spans.isOn) return;
    for (const route of routes) this.#spans.drop(deliveryId(route));
  }

  fieldsOf(route: DueRoute): SpanFields {
    return this.#spans.isOn ? this.#spans.fieldsOf(deliveryId(route)) : {};
  }

  published(route: DueRoute, entryId: string): void {
    this.#spans.end(deliveryId(route), { "notification.outcome": "published", "messaging.message.id": entryId });
  }

  failed(route: DueRoute, outcome: "failed" | "dead_letter", error: { type: string; message: string }): void {
    if (this.#spans.isOn) this.#spans.end(deliveryId(route), { "notification.outcome": outcome }, error);
  }
}
