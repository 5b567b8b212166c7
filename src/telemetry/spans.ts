/**
 * Spans of one kind, kept by the object that they are about until that has its outcome. Tracing is switched on or off for the
 * process: where it is off, nothing is made and nothing else is looked at.
 *
 * A span without an outcome is never ended and so never exported: a batch that was given up comes again, and its spans
 * with it, under the same ids. It is collected together with its object.
 */
import { type Attributes, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { formatTraceparent, isSampled, parseTraceparent, type SpanIds } from "./trace_context.ts";

export interface Tracing {
  readonly isOn: boolean;
  /** Whether what a trace was begun with decides: then nothing is made for one that is not sampled. */
  readonly followsParent: boolean;
  readonly spanIds: SpanIds;
}

export { SpanKind };

/** The log fields that lead from a line to its span. */
export interface SpanFields {
  readonly trace_id?: string;
  readonly span_id?: string;
}

export interface SpanToBegin {
  /** What the span's id is made from, in a trace that was begun elsewhere. */
  readonly idName: string;
  /** Of the parent; may be empty. */
  readonly traceparent: string;
  readonly kind: SpanKind;
  /** Unix milliseconds. */
  readonly startTime: number;
  /** Asked for if the span is recorded. */
  readonly attributes: () => Attributes;
}

export interface BegunSpan {
  /** What to go on with: the new span's where it is recorded, else the parent's; without a parent one that is not sampled. */
  readonly traceparent: string;
  /** Absent: it is not recorded. */
  readonly span?: Span;
}

/** What went wrong, for an operator; `type` has few values. */
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

  /** Whether a span is to be made under this parent: none in a trace that is not sampled, where that decides. */
  begins(traceparent: string): boolean {
    if (this.#tracing === undefined) return false;
    return traceparent === "" || !this.#tracing.followsParent || isSampled(traceparent);
  }

  begin({ idName, traceparent, kind, startTime, attributes }: SpanToBegin): BegunSpan {
    if (!this.begins(traceparent)) return { traceparent };
    const parent = parseTraceparent(traceparent);
    const parentContext = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    // A trace that begins here has a random id, so that its first span needs no id that is the same again.
    if (parent !== undefined) this.#tracing!.spanIds.nameNext(idName);
    const span = this.#tracer.startSpan(this.#name, { kind, startTime }, parentContext);
    const ownTraceparent = formatTraceparent(span.spanContext());
    // What follows has to know that the trace is not sampled, unless its producer has said so already.
    if (!span.isRecording()) return { traceparent: traceparent === "" ? ownTraceparent : traceparent };
    span.setAttributes(attributes());
    return { traceparent: ownTraceparent, span };
  }

  /** Keeps a span for the object that it is about: only this very object leads to it, a copy has none. */
  keep(subject: object, span: Span | undefined): void {
    if (span !== undefined) this.#open.set(subject, span);
  }

  fieldsOf(subject: object): SpanFields {
    const span = this.isOn ? this.#open.get(subject) : undefined;
    if (span === undefined) return NO_FIELDS;
    const { traceId, spanId } = span.spanContext();
    return { trace_id: traceId, span_id: spanId };
  }

  /** Ends the object's span, if it has one; once, however often this is called. */
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
