/**
 * Spans of intents and routes on a real SDK: their ids, the spans of a repeated batch, and that no span is created if
 * tracing is off.
 */
import assert from "node:assert/strict";
import { trace } from "@opentelemetry/api";
import { type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";
import { systemClock } from "../../src/clock.ts";
import { createIntakeEvents } from "../../src/intake/events.ts";
import type { Decoded } from "../../src/intake/judge.ts";
import { addCorrelation } from "../../src/notification/client_event.ts";
import { claimedRoute } from "../support/examples.ts";
import { createPublishEvents } from "../../src/publish/events.ts";
import { createInstruments } from "../../src/telemetry/instruments.ts";
import type { Tracing } from "../../src/telemetry/spans.ts";
import { SpanIds } from "../../src/telemetry/trace_context.ts";

const PUBLICATION = { stream: "gateway:client-events", entryId: "7-0", epoch: "e1" };
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
const instruments = createInstruments();
const traced = (traceparent: string) => claimedRoute({ record: { traceparent } });
const item = (id: string, traceparent: string) => ({ entry: { id, fields: [] }, traceparent }) as unknown as Decoded;

function publishing(tracing: Tracing | undefined) {
  return createPublishEvents({
    channel: "push",
    stream: "gateway:client-events",
    instruments,
    tracing,
    clock: systemClock,
  });
}

function intake(tracing: Tracing | undefined, stream = "a") {
  return createIntakeEvents({ stream, catalog: new Map(), instruments, tracing, clock: systemClock });
}

Deno.test("with tracing off a batch passes unchanged: the same objects", () => {
  const routes = [traced(TRACEPARENT), traced("")];
  const items = [item("1-0", TRACEPARENT), item("2-0", "")];
  for (const tracing of [undefined, OFF]) {
    assert.equal(publishing(tracing).withSpans(routes), routes);
    assert.equal(intake(tracing).withSpans(items), items);
  }
});

Deno.test("a route of a trace that is not sampled passes unchanged", () => {
  const [route] = [traced(UNSAMPLED)];
  assert.equal(publishing(ON).withSpans([route])[0], route);
});

Deno.test("a route that is published again gets the same span: its entry is the same byte for byte", () => {
  ended.length = 0;
  const entryOf = (events: ReturnType<typeof publishing>, attemptCount = 0) => {
    const [route] = events.withSpans([{ ...traced(TRACEPARENT), attemptCount }]);
    const fields: string[] = [];
    addCorrelation(fields, route!);
    return { route: route!, fields };
  };
  const first = entryOf(publishing(ON));
  const other = publishing(ON); // another process
  const again = entryOf(other);
  assert.deepEqual(again.fields, first.fields);
  assert.match(first.fields.at(-1)!, /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/);
  other.written([{ kind: "published", route: again.route, publication: PUBLICATION }]);
  other.written([{ kind: "published", route: again.route, publication: PUBLICATION }]);
  assert.deepEqual(
    ended.map(({ name }) => name),
    ["route.publish"],
    "what was given up is no span",
  );
  assert.notDeepEqual(entryOf(other, 1).fields, first.fields, "the next attempt is another span");
});

Deno.test("an intent that is read again gets the same span", () => {
  const [first] = intake(ON).withSpans([item("1-0", TRACEPARENT)]);
  assert.deepEqual(intake(ON).withSpans([item("1-0", TRACEPARENT)]), [first]);
  assert.notDeepEqual(intake(ON, "b").withSpans([item("1-0", TRACEPARENT)]), [first]);
  assert.notDeepEqual(intake(ON).withSpans([item("1-1", TRACEPARENT)]), [first]);
});
