/**
 * Spans of one kind, each kept by the object that it is about until the object has its outcome. Tracing is on or off
 * for the whole process; if it is off, no span is created.
 *
 * A span without an outcome is never ended and never exported: a batch that was given up comes again, and its spans
 * with the same ids. The span is garbage collected together with its object.
 */
import { type Attributes, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { formatTraceparent, isSampled, parseTraceparent, type SpanIds } from "./trace_context.ts";

export interface Tracing {
  readonly isOn: boolean;
  /** Whether the parent decides about sampling: then no span is created in a trace that is not sampled. */
  readonly followsParent: boolean;
  readonly spanIds: SpanIds;
}

export { SpanKind };

/** The log fields that link a line to its span. */
export interface SpanFields {
  readonly trace_id?: string;
  readonly span_id?: string;
}

export interface SpanToBegin {
  /** The text from which the span's id is made, in a trace that began elsewhere. */
  readonly idName: string;
  /** The parent's; may be empty. */
  readonly traceparent: string;
  readonly kind: SpanKind;
  /** Unix milliseconds. */
  readonly startTime: number;
  /** Called if the span is recorded. */
  readonly attributes: () => Attributes;
}

export interface BegunSpan {
  /**
   * The `traceparent` to pass on: the new span's if it is recorded, otherwise the parent's; without a parent, one that
   * is not sampled.
   */
  readonly traceparent: string;
  /** `undefined` if it is not recorded. */
  readonly span?: Span;
}

/** What went wrong; `type` has few values. */
export interface SpanError {
  readonly type: string;
  readonly message: string;
}

const NO_FIELDS: SpanFields = {};

export class Spans {
  readonly #name: string;
  readonly #tracing: Tracing | undefined;
  readonly #tracer = trace.getTracer("notification-service");
  readonly #open = new WeakMap<object, Span>();

  constructor(name: string, tracing: Tracing | undefined) {
    this.#name = name;
    this.#tracing = tracing?.isOn ? tracing : undefined;
  }

  get isOn(): boolean {
    return this.#tracing !== undefined;
  }

  /** Whether a span is created under this parent: not in a trace that is not sampled, if the parent decides. */
  begins(traceparent: string): boolean {
    if (this.#tracing === undefined) return false;
    return traceparent === "" || !this.#tracing.followsParent || isSampled(traceparent);
  }

  begin({ idName, traceparent, kind, startTime, attributes }: SpanToBegin): BegunSpan {
    if (!this.begins(traceparent)) return { traceparent };
    const parent = parseTraceparent(traceparent);
    const parentContext = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    // A trace that begins here has a random id, so its first span needs no repeatable id.
    if (parent !== undefined) this.#tracing!.spanIds.nameNext(idName);
    const span = this.#tracer.startSpan(this.#name, { kind, startTime }, parentContext);
    const ownTraceparent = formatTraceparent(span.spanContext());
    // Later spans have to see that the trace is not sampled; a producer's `traceparent` already says so.
    if (!span.isRecording()) return { traceparent: traceparent === "" ? ownTraceparent : traceparent };
    span.setAttributes(attributes());
    return { traceparent: ownTraceparent, span };
  }

  /** Keeps a span for the object that it is about; a copy of the object has no span. */
  keep(subject: object, span: Span | undefined): void {
    if (span !== undefined) this.#open.set(subject, span);
  }

  fieldsOf(subject: object): SpanFields {
    const span = this.isOn ? this.#open.get(subject) : undefined;
    if (span === undefined) return NO_FIELDS;
    const { traceId, spanId } = span.spanContext();
    return { trace_id: traceId, span_id: spanId };
  }

  /** Ends the object's span if it has one; further calls do nothing. */
  end(
    subject: object,
    outcome: () => { readonly attributes: Attributes; readonly error?: SpanError | undefined },
  ): void {
    const span = this.isOn ? this.#open.get(subject) : undefined;
    if (span === undefined || !span.isRecording()) return;
    const { attributes, error } = outcome();
    span.setAttributes(attributes);
    if (error !== undefined) {
      span.setAttribute("error.type", error.type);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    }
    span.end();
  }
}
