/**
 * The gauges of what waits: the schedule of live routes by channel, the intent stream. Contract, section 9.
 *
 * Nobody is asked until somebody collects. An answer that does not come in time, or not at all, leaves the gauge out and
 * holds up no other; a question that is still open is not asked a second time.
 */
import { type BatchObservableResult, metrics, type Observable } from "@opentelemetry/api";
import type { Clock } from "../clock.ts";
import type { Channel } from "../notification/route.ts";
import { Sparingly, within } from "./sparingly.ts";

export interface GaugeSources {
  readonly oldestDueMs: () => Promise<Readonly<Record<Channel, number>>>;
  /** May take long: it is asked for the less often. Nothing is an answer too: it takes longer than it may. */
  readonly liveRoutes: () => Promise<Readonly<Record<Channel, number>> | undefined>;
  readonly intentBacklog: () => Promise<{ readonly lag: number; readonly oldestAgeMs: number }>;
}

/** Gives a function that ends it. @param answerMs how long a collection waits for an answer */
export function observeBacklog(
  sources: GaugeSources,
  { answerMs, clock }: { answerMs: number; clock: Clock },
): () => void {
  const meter = metrics.getMeter("notification-service");
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableGauge(name, { unit, description });
  const depth = gauge("notification.route_schedule.depth", "{route}", "Routes pending or failed, due or not");
  const oldestDue = gauge("notification.route_schedule.oldest_age_ms", "ms", "How overdue the most overdue route is");
  const lag = gauge("notification.intent_stream.lag", "{entry}", "Entries of the intent stream without an outcome");
  const oldestEntry = gauge(
    "notification.intent_stream.oldest_unprocessed_age_ms",
    "ms",
    "Age of the first entry of the intent stream without an outcome",
  );

  const byChannel = (result: BatchObservableResult, observable: Observable, values: Record<Channel, number>) => {
    for (const [channel, value] of Object.entries(values)) result.observe(observable, value, { channel });
  };
  const askOldestDue = once(sources.oldestDueMs);
  let oldestDueNow: Promise<Readonly<Record<Channel, number>> | undefined> = Promise.resolve(undefined);
  const observeOldestDue = async (result: BatchObservableResult) => {
    oldestDueNow = within(answerMs, askOldestDue());
    const values = await oldestDueNow;
    if (values !== undefined) byChannel(result, oldestDue, values);
  };
  const counted = new Sparingly(sources.liveRoutes, clock);
  const observeDepth = async (result: BatchObservableResult) => {
    const [values, scheduleAnswers] = await Promise.all([counted.latest(answerMs), oldestDueNow]);
    // A count may stand for long after it was taken, but not while nobody could count.
    if (values !== undefined && scheduleAnswers !== undefined) byChannel(result, depth, values);
  };
  const askBacklog = once(sources.intentBacklog);
  const observeIntents = async (result: BatchObservableResult) => {
    const backlog = await within(answerMs, askBacklog());
    if (backlog === undefined) return;
    result.observe(lag, backlog.lag);
    result.observe(oldestEntry, backlog.oldestAgeMs);
  };

  // In this order they share a connection: the look-ups don't wait for the count.
  meter.addBatchObservableCallback(observeOldestDue, [oldestDue]);
  meter.addBatchObservableCallback(observeIntents, [lag, oldestEntry]);
  meter.addBatchObservableCallback(observeDepth, [depth]);
  return () => {
    meter.removeBatchObservableCallback(observeOldestDue, [oldestDue]);
    meter.removeBatchObservableCallback(observeIntents, [lag, oldestEntry]);
    meter.removeBatchObservableCallback(observeDepth, [depth]);
  };
}

/** Refuses while the last call is still open. */
function once<Value>(ask: () => Promise<Value>): () => Promise<Value> {
  let isOpen = false;
  return async () => {
    if (isOpen) throw new Error("The last question is not answered yet");
    isOpen = true;
    try {
      return await ask();
    } finally {
      isOpen = false;
    }
  };
}
