/** `intent.process`: one span an intent, from its reading to the commit that gave it its outcome. Contract, section 9. */
import type { Span } from "@opentelemetry/api";
import type { IntentFields } from "./events.ts";
import { endSpan, type SpanError, type SpanFields, spanFields, SpanKind, Spans, type Tracing } from "./spans.ts";

interface Item {
  readonly entry: { readonly id: string };
  readonly traceparent: string;
}

export class IntentSpans {
  readonly #spans: Spans;
  /** Of the batch in hand, by the entry's id. */
  readonly #open = new Map<string, Span>();

  constructor(tracing: Tracing | undefined) {
    this.#spans = new Spans("intent.process", tracing);
  }

  /** The items, each with its own span's `traceparent`: what becomes of it later follows that. */
  begin<Of extends Item>(items: Of[], stream: string): Of[] {
    if (!this.#spans.isOn) return items;
    this.#open.clear();
    const startTime = Date.now();
    return items.map((item) => {
      const { id } = item.entry;
      const { traceparent, span } = this.#spans.begin({
        idName: `intent.process ${stream} ${id}`,
        traceparent: item.traceparent,
        kind: SpanKind.CONSUMER,
        startTime,
        attributes: () => ({
          "messaging.system": "redis",
          "messaging.operation.type": "process",
          "messaging.operation.name": "process",
          "messaging.destination.name": stream,
          "messaging.message.id": id,
        }),
      });
      if (span !== undefined) this.#open.set(id, span);
      return traceparent === item.traceparent ? item : { ...item, traceparent };
    });
  }

  fieldsOf({ stream_entry_id }: IntentFields): SpanFields {
    return spanFields(this.#open.get(stream_entry_id));
  }

  end(intent: IntentFields, outcome: string, error?: SpanError): void {
    const span = this.#open.get(intent.stream_entry_id);
    if (span === undefined) return;
    this.#open.delete(intent.stream_entry_id);
    const { notification_type, producer, audience_kind, notification_id, request_id } = intent;
    const attributes = {
      "notification.outcome": outcome,
      "notification.type": notification_type,
      "notification.producer": producer,
      "notification.audience_kind": audience_kind,
      ...(notification_id === undefined ? {} : { "notification.id": notification_id }),
      ...(request_id === undefined ? {} : { "messaging.message.conversation_id": request_id }),
    };
    endSpan(span, { attributes, error });
  }
}
