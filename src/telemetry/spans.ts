/**
 * Spans of one kind. Tracing is switched on or off for the process: where it is off, nothing is made and nothing is looked
 * at but that.
 *
 * A span that gets no outcome is never ended and so never exported: a batch that was given up comes again, and its spans
 * with it, under the same ids.
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
  /** From which its id is made, in a trace that was begun elsewhere. */
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
  /** To go on with: the new span's where it is recorded, else the parent's; without a parent one that is not sampled. */
  readonly traceparent: string;
  /** Absent: it is not recorded. */
  readonly span?: Span;
}

const NO_FIELDS: SpanFields = {};

export class Spans {
  readonly #name: string;
  readonly #tracing: Tracing | undefined;
  readonly #tracer = trace.getTracer("notification-service");

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
    // Whoever comes next is told that the trace is not sampled, unless its producer has told already.
    if (!span.isRecording()) return { traceparent: traceparent === "" ? ownTraceparent : traceparent };
    span.setAttributes(attributes());
    return { traceparent: ownTraceparent, span };
  }
}

export function spanFields(span: Span | undefined): SpanFields {
  if (span === undefined) return NO_FIELDS;
  const { traceId, spanId } = span.spanContext();
  return { trace_id: traceId, span_id: spanId };
}

/** What went wrong, for an operator; `type` has few values. */
export interface SpanError {
  readonly type: string;
  readonly message: string;
}

/** Ends it once, however often it is called. */
export function endSpan(
  span: Span,
  { attributes, error }: { readonly attributes: Attributes; readonly error?: SpanError | undefined },
): void {
  if (!span.isRecording()) return;
  span.setAttributes(attributes);
  if (error !== undefined) {
    span.setAttribute("error.type", error.type);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  span.end();
}
