/**
 * Traces of the real process: from the producer's span to the outbound entry, through failed attempts, restarts and
 * repetition (docs/contract.md, section 9); and what passes unchanged if tracing is off.
 */
import assert from "node:assert/strict";
import type { ReceivedSpan } from "../support/otlp_decode.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { outcomeOf } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER_SPAN = "00f067aa0ba902b7";
const TRACEPARENT = `00-${TRACE}-${PRODUCER_SPAN}-01`;
const UNSAMPLED = `00-${TRACE}-${PRODUCER_SPAN}-00`;
const [PRODUCER, CONSUMER] = [4, 5];
const [UNSET, ERROR] = [0, 2];

const contextOf = (span: ReceivedSpan) => `00-${span.traceId}-${span.spanId}-01`;

/** The outbound `traceparent` of both channels. */
async function outbound(rig: Rig, entryId: string) {
  const { clientEvents, mailCommands } = await outcomeOf(rig, entryId);
  return { push: clientEvents[0]?.fields["traceparent"], email: mailCommands[0]?.fields["traceparent"] };
}

Deno.test("every attempt has its span, also while the outcome of the one before is not written yet", async () => {
  await using otlp = await OtlpReceiver.start();
  // Accepted together, and published by eight passes.
  await using rig = await openRig({ env: { ...otlp.env, NOTIFICATION_PUBLISH_BATCH_SIZE: "5" } });
  for (let at = 0; at < 40; at++) await rig.addIntent();
  await rig.start();
  await rig.settled();
  await eventually(() => otlp.spans.length >= 120);
  assert.equal(otlp.spansNamed("route.publish").length, 80);
});

Deno.test("a trace goes from the producer's span through intent.process and route.publish to the outbound entries", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({ env: otlp.env });
  await rig.start();
  const entryId = await rig.addIntent({ traceparent: TRACEPARENT, request_id: "request-1", trace_id: "its own" });
  const rootless = await rig.addIntent();
  await rig.settled();
  await eventually(() => otlp.spans.length >= 6);
  assert.equal(otlp.spans.length, 6);

  const ofEntry = (id: string) =>
    otlp.spansNamed("intent.process").filter((span) => span.attributes["messaging.message.id"] === id);
  const [process] = ofEntry(entryId);
  const { record, routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
  assert.deepEqual([process?.traceId, process?.parentSpanId, process?.kind], [TRACE, PRODUCER_SPAN, CONSUMER]);
  assert.equal(process?.status.code, UNSET);
  assert.deepEqual(process?.attributes, {
    "messaging.system": "redis",
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    "messaging.destination.name": "notification:intents",
    "messaging.message.id": entryId,
    "messaging.message.conversation_id": "request-1",
    "notification.outcome": "accepted",
    "notification.type": "game.turn.ready",
    "notification.producer": "game-master",
    "notification.audience_kind": "user",
    "notification.id": record?.notification_id,
  });
  assert.equal(record?.traceparent, contextOf(process!));
  assert.equal(record?.trace_id, "its own");

  for (const { route_id, channel, published_entry_id } of routes) {
    const span = otlp.spansNamed("route.publish").find(({ traceId, attributes }) =>
      traceId === TRACE && attributes["notification.route_id"] === route_id
    );
    assert.deepEqual([span?.parentSpanId, span?.kind, span?.status.code], [process!.spanId, PRODUCER, UNSET]);
    assert.deepEqual(span?.attributes, {
      "messaging.system": "redis",
      "messaging.operation.type": "send",
      "messaging.operation.name": "publish",
      "messaging.destination.name": channel === "push" ? "gateway:client-events" : "mail:delivery_commands",
      "messaging.message.id": published_entry_id,
      "messaging.message.conversation_id": "request-1",
      "notification.outcome": "published",
      "notification.type": "game.turn.ready",
      "notification.id": record?.notification_id,
      "notification.route_id": route_id,
      "notification.channel": channel,
      "notification.attempt": 1,
    });
    const fields = (channel === "push" ? clientEvents : mailCommands)[0]?.fields;
    assert.equal(fields?.["traceparent"], contextOf(span!));
    assert.equal(fields?.["trace_id"], "its own");
    assert.ok(span!.durationMs >= 0 && span!.durationMs < 10_000);
  }

  // Without a producer's trace there is one of its own.
  const [root] = ofEntry(rootless);
  assert.equal(root?.parentSpanId, "");
  assert.notEqual(root?.traceId, TRACE);
  const children = otlp.spansNamed("route.publish").filter(({ traceId }) => traceId === root?.traceId);
  assert.deepEqual(children.map(({ parentSpanId }) => parentSpanId), [root?.spanId, root?.spanId]);
  const sent = await outbound(rig, rootless);
  assert.deepEqual([sent.push, sent.email].sort(), children.map(contextOf).sort());
});

Deno.test("malformed intents and failed attempts are errors on their spans, one span per attempt", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({
    env: { ...otlp.env, NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "3", NOTIFICATION_ROUTE_BACKOFF_MIN: "20ms" },
  });
  await rig.redis.set("gateway:client-events", "in the way");
  await rig.start();
  await rig.addIntent({ traceparent: TRACEPARENT, payload_json: "{}" });
  await rig.addIntent({ traceparent: TRACEPARENT, idempotency_key: "key" });
  await rig.addIntent({ traceparent: TRACEPARENT, idempotency_key: "key" });
  await rig.settled();
  const processed = await otlp.untilSpans(3, ({ name }) => name === "intent.process");
  // Their order depends on whether they come in one batch.
  assert.deepEqual(
    processed.map(({ attributes, status, parentSpanId }) => [
      attributes["notification.outcome"],
      attributes["error.type"],
      status.code,
      parentSpanId,
    ]).sort(),
    [
      ["accepted", undefined, UNSET, PRODUCER_SPAN],
      ["duplicate", undefined, UNSET, PRODUCER_SPAN],
      ["malformed", "invalid_payload", ERROR, PRODUCER_SPAN],
    ],
  );
  assert.match(processed.find(({ status }) => status.code === ERROR)!.status.message, /game_id/);

  const attempts = await otlp.untilSpans(
    3,
    ({ name, attributes }) => name === "route.publish" && attributes["notification.channel"] === "push",
  );
  const accepted = processed.find(({ attributes }) => attributes["notification.outcome"] === "accepted");
  assert.deepEqual(
    attempts.map(({ attributes, status, parentSpanId }) => [
      attributes["notification.attempt"],
      attributes["notification.outcome"],
      attributes["error.type"],
      status.code,
      parentSpanId,
    ]),
    [
      [1, "failed", "gateway_stream_publish_failed", ERROR, accepted?.spanId],
      [2, "failed", "gateway_stream_publish_failed", ERROR, accepted?.spanId],
      [3, "dead_letter", "gateway_stream_publish_failed", ERROR, accepted?.spanId],
    ],
  );
  assert.ok(attempts.every(({ status }) => status.message.includes("WRONGTYPE")));
  assert.equal(new Set(otlp.spans.map(({ spanId }) => spanId)).size, otlp.spans.length, "no id twice");
});

Deno.test("route.publish is the child of intent.process even three restarts later", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({ env: { ...otlp.env, NOTIFICATION_ROUTE_BACKOFF_MIN: "5m" } });
  await rig.redis.set("gateway:client-events", "in the way");
  const service = await rig.start();
  const entryId = await rig.addIntent({ traceparent: TRACEPARENT });
  await service.waitForLog(({ message }) => message === "attempt failed");
  await service.terminate();
  for (let restart = 0; restart < 2; restart++) await (await rig.start()).kill();
  await rig.redis.del("gateway:client-events");
  await rig.query("UPDATE notification.routes SET next_attempt_at = now() - interval '1 hour' WHERE status = 'failed'");
  await rig.start();
  await rig.settled();

  const published = await eventually(() =>
    otlp.spansNamed("route.publish").find(({ attributes }) =>
      attributes["notification.channel"] === "push" && attributes["notification.outcome"] === "published"
    )
  );
  const [process] = otlp.spansNamed("intent.process");
  assert.deepEqual([published.traceId, published.parentSpanId], [TRACE, process?.spanId]);
  assert.equal(published.attributes["notification.attempt"], 2);
  assert.notEqual(published.resource["service.instance.id"], process?.resource["service.instance.id"]);
  assert.equal((await outbound(rig, entryId)).push, contextOf(published));
});

Deno.test("with tracing off the producer's traceparent passes through unchanged", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig();
  const off: Record<string, string>[] = [
    {},
    { ...otlp.env, OTEL_TRACES_SAMPLER: "always_off" },
    { ...otlp.env, OTEL_TRACES_EXPORTER: "none" },
    { ...otlp.env, OTEL_SDK_DISABLED: "true" },
  ];
  for (const env of off) {
    const service = await rig.start(env);
    const entryId = await rig.addIntent({ traceparent: TRACEPARENT });
    const without = await rig.addIntent();
    await rig.settled();
    const { record } = await outcomeOf(rig, entryId);
    assert.equal(record?.traceparent, TRACEPARENT);
    assert.deepEqual(await outbound(rig, entryId), { push: TRACEPARENT, email: TRACEPARENT });
    assert.deepEqual(await outbound(rig, without), { push: undefined, email: undefined });
    const line = await service.waitForLog((line) => line["stream_entry_id"] === entryId);
    assert.deepEqual([line["trace_id"], line["span_id"]], [TRACE, undefined]);
    await service.terminate();
  }
  assert.deepEqual(otlp.spans, []);
});

Deno.test("a trace that is not sampled is not recorded, and the outbound traceparent says so", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({
    env: { ...otlp.env, OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" },
  });
  await rig.start();
  const ofUnsampled = await rig.addIntent({ traceparent: UNSAMPLED });
  const ofNobody = await rig.addIntent();
  const ofSampled = await rig.addIntent({ traceparent: TRACEPARENT });
  await rig.settled();
  assert.deepEqual(await outbound(rig, ofUnsampled), { push: UNSAMPLED, email: UNSAMPLED });
  const own = await outbound(rig, ofNobody);
  assert.match(own.push ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(own.email, own.push);
  const sampled = await outbound(rig, ofSampled);
  assert.match(sampled.push ?? "", new RegExp(`^00-${TRACE}-(?!${PRODUCER_SPAN})[0-9a-f]{16}-01$`));
  await eventually(() => otlp.spans.length >= 3);
  assert.deepEqual(new Set(otlp.spans.map(({ traceId }) => traceId)), new Set([TRACE]));
});
