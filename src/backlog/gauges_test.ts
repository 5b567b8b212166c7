/** Which gauges a collection holds when some of the questions are answered and others are not. */
import assert from "node:assert/strict";
import { metrics } from "@opentelemetry/api";
import { AggregationTemporality, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../clock.ts";
import type { BacklogReader } from "./backlog.ts";
import { observeBacklog } from "./gauges.ts";
import type { IntentBacklog } from "./intent_backlog.ts";

class Reader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.DELTA });
  }

  /** The names of the gauges that have a value, without their common prefix. */
  async names(): Promise<string[]> {
    const { resourceMetrics } = await this.collect();
    return resourceMetrics.scopeMetrics.flatMap((scope) =>
      scope.metrics.filter(({ dataPoints }) => dataPoints.length > 0)
        .map(({ descriptor }) => descriptor.name.replace("notification.", ""))
    ).sort();
  }

  /** The attributes and the value of each point of a gauge. */
  async points(name: string): Promise<unknown[]> {
    const { resourceMetrics } = await this.collect();
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
      .filter(({ descriptor }) => descriptor.name === `notification.${name}`)
      .flatMap(({ dataPoints }) => dataPoints.map(({ attributes, value }) => ({ ...attributes, value })));
  }

  protected override onShutdown = () => Promise.resolve();
  protected override onForceFlush = () => Promise.resolve();
}

const STREAM = ["intent_stream.lag", "intent_stream.oldest_unprocessed_age_ms", "intent_stream.stalled_ms"];
const SCHEDULE = ["repair.open_age_ms", "route_schedule.depth", "route_schedule.oldest_age_ms"];

Deno.test("a count that is kept between two queries is exported only while PostgreSQL answers", async () => {
  let ms = 0;
  const clock: Clock = { now: () => ms, monotonic: () => ms, random: () => 0.5, sleep: () => Promise.resolve() };
  let isOut = false;
  let counted = 0;
  const reader: BacklogReader = {
    oldestAgeMs: () => isOut ? Promise.reject(new Error("out")) : Promise.resolve({ push: 1, email: 2 }),
    openRepairAgeMs: () => isOut ? Promise.reject(new Error("out")) : Promise.resolve(0),
    depth: () => {
      counted++;
      ms += 5_000; // it is counted again in four minutes
      return Promise.resolve({ push: 3, email: 4 });
    },
    intents: () =>
      Promise.resolve({ lag: 5, oldestAgeMs: 6, nextEntryId: "1-0", stalledMs: 3, aheadMs: 0, stall: undefined }),
  };
  const metricReader = new Reader();
  const provider = new MeterProvider({ readers: [metricReader] });
  metrics.setGlobalMeterProvider(provider);
  const stop = observeBacklog(reader, { answerMs: 1000, clock });
  try {
    assert.deepEqual(await metricReader.names(), [...STREAM, ...SCHEDULE]);
    isOut = true;
    assert.deepEqual(await metricReader.names(), STREAM);
    isOut = false;
    assert.deepEqual(await metricReader.names(), [...STREAM, ...SCHEDULE]);
    assert.equal(counted, 1);
  } finally {
    stop();
    await provider.shutdown();
    metrics.disable();
  }
});

Deno.test("a stall has the entry, the recipient and the answer as attributes, and one series at a time", async () => {
  const clock: Clock = { now: () => 0, monotonic: () => 0, random: () => 0.5, sleep: () => Promise.resolve() };
  const stall = { dependency: "user_service", reason: "it answered with status 503", entryId: "1-0", recipient: "u" };
  const backlog = { lag: 1, oldestAgeMs: 6, nextEntryId: "1-0", aheadMs: 0 };
  let intents: IntentBacklog = { ...backlog, stalledMs: 3, stall };
  const unanswered = () => Promise.reject(new Error("not asked here"));
  const reader = { oldestAgeMs: unanswered, openRepairAgeMs: unanswered, depth: unanswered };
  const metricReader = new Reader();
  const provider = new MeterProvider({ readers: [metricReader] });
  metrics.setGlobalMeterProvider(provider);
  const stop = observeBacklog({ ...reader, intents: () => Promise.resolve(intents) }, { answerMs: 1000, clock });
  try {
    const { dependency, reason, recipient } = stall;
    const stalled = () => metricReader.points("intent_stream.stalled_ms");
    assert.deepEqual(await stalled(), [{ dependency, reason, recipient, stream_entry_id: "1-0", value: 3 }]);
    intents = { ...backlog, stalledMs: 5, stall: { dependency: "postgres", reason: "out" } };
    assert.deepEqual(await stalled(), [{ dependency: "postgres", reason: "out", value: 5 }]);
    intents = { ...backlog, stalledMs: 0, stall: undefined };
    assert.deepEqual(await stalled(), [{ value: 0 }]);
  } finally {
    stop();
    await provider.shutdown();
    metrics.disable();
  }
});
