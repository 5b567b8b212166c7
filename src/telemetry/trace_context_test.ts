/** W3C Trace Context as text and as a span's context, and repeatable ids. */
import assert from "node:assert/strict";
import { formatTraceparent, knownTraceId, parseTraceparent, SpanIds } from "./trace_context.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const spanIds = new SpanIds();

Deno.test("a traceparent is read in any version and written in version 00", () => {
  const context = parseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-may-come")!;
  assert.equal(formatTraceparent(context), TRACEPARENT);
  assert.equal(formatTraceparent(parseTraceparent(UNSAMPLED)!), UNSAMPLED);
  assert.equal(parseTraceparent(""), undefined);
});

Deno.test("the trace's id is the producer's field, otherwise that of its traceparent", () => {
  assert.equal(knownTraceId({ traceId: "t", traceparent: TRACEPARENT }), "t");
  assert.equal(knownTraceId({ traceId: "", traceparent: TRACEPARENT }), "4bf92f3577b34da6a3ce929d0e0e4736");
  assert.equal(knownTraceId({ traceId: "", traceparent: "" }), "");
});

Deno.test("SpanIds returns ids of the right form, each once, except one that was named", () => {
  assert.match(spanIds.generateTraceId(), /^[0-9a-f]{32}$/);
  assert.notEqual(spanIds.generateTraceId(), spanIds.generateTraceId());
  assert.match(spanIds.generateSpanId(), /^[0-9a-f]{16}$/);
  assert.notEqual(spanIds.generateSpanId(), spanIds.generateSpanId());
  spanIds.nameNext("a");
  const named = spanIds.generateSpanId();
  assert.notEqual(spanIds.generateSpanId(), named);
  spanIds.nameNext("a");
  assert.equal(spanIds.generateSpanId(), named);
});
