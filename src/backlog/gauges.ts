/**
 * The backlog's reader → its gauges: the schedule of live routes by channel, the intent stream. docs/contract.md,
 * section 9.
 *
 * The reader is asked only when metrics are collected. An answer that comes too late, or not at all, leaves its gauge
 * out and delays no other; a question that is still open is not asked a second time. A depth that takes PostgreSQL
 * longer to count than the bound of a statement is left out.
 */
import { type Attributes, type BatchObservableResult, metrics, type Observable } from "@opentelemetry/api";
// @ts-types="@types/pg"
import pg from "pg";
import type { Clock } from "../clock.ts";
import { within } from "../lifecycle/bounded_wait.ts";
import type { BacklogReader } from "./backlog.ts";
import type { IntakeStall } from "./intake_stall.ts";
import type { ByChannel } from "./route_backlog.ts";
import { Sparingly } from "./sparingly.ts";

/** Returns a function that removes the gauges. @param options.answerMs how long a collection waits for an answer */
export function observeBacklog(
  reader: BacklogReader,
  { answerMs, clock }: { answerMs: number; clock: Clock },
): () => void {
  const meter = metrics.getMeter("notification-service");
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableGauge(name, { unit, description });
  const depth = gauge("notification.route_schedule.depth", "{route}", "Routes pending or failed, due or not");
  const oldestDue = gauge("notification.route_schedule.oldest_age_ms", "ms", "How overdue the most overdue route is");
  const lag = gauge("notification.intent_stream.lag", "{entry}", "Entries of the intent stream without an outcome");
  const stalled = gauge(
    "notification.intent_stream.stalled_ms",
    "ms",
    "How long intake has not moved although entries wait",
  );
  const oldestEntry = gauge(
    "notification.intent_stream.oldest_unprocessed_age_ms",
    "ms",
    "Age of the first entry of the intent stream without an outcome",
  );
  const openRepair = gauge(
    "notification.repair.open_age_ms",
    "ms",
    "How long the oldest unfinished repair has been open",
  );

  const byChannel = (result: BatchObservableResult, observable: Observable, values: ByChannel) => {
    for (const [channel, value] of Object.entries(values)) result.observe(observable, value, { channel });
  };
  const askOldestDue = once(() => reader.oldestAgeMs());
  let oldestDueNow: Promise<ByChannel | undefined> = Promise.resolve(undefined);
  const observeOldestDue = async (result: BatchObservableResult) => {
    oldestDueNow = within(answerMs, askOldestDue());
    const values = await oldestDueNow;
    if (values !== undefined) byChannel(result, oldestDue, values);
  };
  const counted = new Sparingly(() => unlessTooSlow(reader.depth()), clock);
  const observeDepth = async (result: BatchObservableResult) => {
    const [values, scheduleAnswers] = await Promise.all([counted.latest(answerMs), oldestDueNow]);
    // The last count stays valid for minutes, but is not shown while PostgreSQL does not answer.
    if (values !== undefined && scheduleAnswers !== undefined) byChannel(result, depth, values);
  };
  const askBacklog = once(() => reader.intents());
  const observeIntents = async (result: BatchObservableResult) => {
    const backlog = await within(answerMs, askBacklog());
    if (backlog === undefined) return;
    result.observe(lag, backlog.lag);
    result.observe(oldestEntry, backlog.oldestAgeMs);
    result.observe(stalled, backlog.stalledMs, stallAttributes(backlog.stall));
  };
  const askOpenRepair = once(() => reader.openRepairAgeMs());
  const observeOpenRepair = async (result: BatchObservableResult) => {
    const ageMs = await within(answerMs, askOpenRepair());
    if (ageMs !== undefined) result.observe(openRepair, ageMs);
  };

  // They share a connection in this order, so that the look-ups don't wait for the count.
  meter.addBatchObservableCallback(observeOldestDue, [oldestDue]);
  meter.addBatchObservableCallback(observeIntents, [lag, oldestEntry, stalled]);
  meter.addBatchObservableCallback(observeOpenRepair, [openRepair]);
  meter.addBatchObservableCallback(observeDepth, [depth]);
  return () => {
    meter.removeBatchObservableCallback(observeOldestDue, [oldestDue]);
    meter.removeBatchObservableCallback(observeIntents, [lag, oldestEntry, stalled]);
    meter.removeBatchObservableCallback(observeOpenRepair, [openRepair]);
    meter.removeBatchObservableCallback(observeDepth, [depth]);
  };
}

/** What intake waits for. A collection holds one such series at most: a gauge without a value is left out. */
function stallAttributes(stall: IntakeStall | undefined): Attributes {
  if (stall === undefined) return {};
  const { entryId, recipient, dependency, reason } = stall;
  return {
    dependency,
    reason,
    ...(entryId === undefined ? {} : { stream_entry_id: entryId }),
    ...(recipient === undefined ? {} : { recipient }),
  };
}

/**
 * `undefined` if PostgreSQL cancelled the statement because it took too long: another try at once would take as long.
 */
async function unlessTooSlow<Value>(answer: Promise<Value>): Promise<Value | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === "57014") return undefined;
    throw error;
  }
}

/** Rejects while the last call is still open. */
function once<Value>(ask: () => Promise<Value>): () => Promise<Value> {
  let isOpen = false;
  return async () => {
    if (isOpen) throw new Error("The last question has not been answered yet");
    isOpen = true;
    try {
      return await ask();
    } finally {
      isOpen = false;
    }
  };
}
