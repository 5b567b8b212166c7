// Spans of intents and routes on a real SDK: which ids they get, what is made of a batch that comes again, and that
// nothing at all is made where tracing is off.

import assert from "node:assert/strict";
import { trace } from "@opentelemetry/api";
import { type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";
import { addCorrelation } from "../notification/client_event.ts";
import { claimedRoute } from "../notification/test_examples.ts";
import { IntentSpans } from "./intent_spans.ts";
import { RouteSpans } from "./route_spans.ts";
import type { Tracing } from "./spans.ts";
import { formatTraceparent, knownTraceId, parseTraceparent, SpanIds } from "./trace_context.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

const spanIds = new SpanIds();
const ended: ReadableSpan[] = [];
const collector = {
  onStart: () => {},
  onEnd: (span: ReadableSpan) => void ended.push(span),
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};
trace.setGlobalTracerProvider(new TracerProvider({ idGenerator: spanIds, spanProcessors: [collector] }));
const ON: Tracing = { isOn: true, followsParent: true, spanIds };
const OFF: Tracing = { ...ON, isOn: false };
const traced = (traceparent: string) => claimedRoute({ record: { traceparent } });
const item = (id: string, traceparent: string) => ({ entry: { id }, traceparent });

Deno.test("with tracing off a batch goes through as it came: the very same objects", () => {
  const routes = [traced(TRACEPARENT), traced("")];
  const items = [item("1-0", TRACEPARENT), item("2-0", "")];
  for (const tracing of [undefined, OFF]) {
    assert.equal(new RouteSpans(tracing, "push").begin(routes, "s"), routes);
    assert.equal(new IntentSpans(tracing).begin(items, "s"), items);
  }
});

Deno.test("a route of a trace that is not sampled goes through as it came", () => {
  const [route] = [traced(UNSAMPLED)];
  assert.equal(new RouteSpans(ON, "push").begin([route], "s")[0], route);
});

Deno.test("a route that is published again gets the same span: its entry is the same byte for byte", () => {
  ended.length = 0;
  const entryOf = (spans: RouteSpans, attemptCount = 0) => {
    const [route] = spans.begin([{ ...traced(TRACEPARENT), attemptCount }], "gateway:client-events");
    const fields: string[] = [];
    addCorrelation(fields, route!);
    return { route: route!, fields };
  };
  const first = entryOf(new RouteSpans(ON, "push"));
  const other = new RouteSpans(ON, "push"); // another process, for all it knows
  const again = entryOf(other);
  assert.deepEqual(again.fields, first.fields);
  assert.match(first.fields.at(-1)!, /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/);
  other.published(again.route, "7-0");
  other.published(again.route, "7-0");
  assert.deepEqual(
    ended.map(({ name }) => name),
    ["route.publish"],
    "what was given up is no span",
  );
  assert.notDeepEqual(entryOf(other, 1).fields, first.fields, "the next attempt is another span");
});

Deno.test("an intent that is read again gets the same span", () => {
  const [first] = new IntentSpans(ON).begin([item("1-0", TRACEPARENT)], "a");
  assert.deepEqual(new IntentSpans(ON).begin([item("1-0", TRACEPARENT)], "a"), [first]);
  assert.notDeepEqual(new IntentSpans(ON).begin([item("1-0", TRACEPARENT)], "b"), [first]);
  assert.notDeepEqual(new IntentSpans(ON).begin([item("1-1", TRACEPARENT)], "a"), [first]);
});

Deno.test("a traceparent is read in any version and written in version 00", () => {
  const context = parseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-may-come")!;
  assert.equal(formatTraceparent(context), TRACEPARENT);
  assert.equal(formatTraceparent(parseTraceparent(UNSAMPLED)!), UNSAMPLED);
  assert.equal(parseTraceparent(""), undefined);
});

Deno.test("the trace's id is the producer's field, else what its traceparent says", () => {
  assert.equal(knownTraceId({ traceId: "t", traceparent: TRACEPARENT }), "t");
  assert.equal(knownTraceId({ traceId: "", traceparent: TRACEPARENT }), "4bf92f3577b34da6a3ce929d0e0e4736");
  assert.equal(knownTraceId({ traceId: "", traceparent: "" }), "");
});

Deno.test("SpanIds gives ids of the right form, each once, save for one that was named", () => {
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
