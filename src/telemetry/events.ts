/**
 * What happens to intents and routes, told once: one method per business event that does metric, span and log together.
 *
 * Nothing here throws, and counters are added once a batch. Names, units and attributes are those of the contract's
 * section 9; attributes have few values, detail goes to the log.
 */
import type { Logger } from "@logtape/logtape";
import type { Attributes, Counter } from "@opentelemetry/api";
import type { Channel, DueRoute } from "../notification/route.ts";
import { createInstruments } from "./instruments.ts";
import { IntentSpans } from "./intent_spans.ts";
import { loggerOf, logOften } from "./logging.ts";
import { RouteSpans } from "./route_spans.ts";
import type { Tracing } from "./spans.ts";
import { knownTraceId } from "./trace_context.ts";

/** The log fields of an intent, where they are known. */
export interface IntentFields {
  readonly notification_type: string;
  readonly producer: string;
  readonly audience_kind: string;
  readonly notification_id?: string;
  readonly stream_entry_id: string;
  readonly request_id?: string;
  readonly trace_id?: string;
}

export type Events = ReturnType<typeof createEvents>;

/** An attempt that failed. */
export interface FailedAttempt {
  readonly route: DueRoute;
  readonly failure: { readonly classification: string; readonly message: string };
}

/**
 * To be called once OpenTelemetry has started: instruments made before would never export.
 *
 * @param tracing absent: spans are of no interest
 */
export function createEvents(tracing?: Tracing) {
  const metrics = createInstruments();
  const intentSpans = new IntentSpans(tracing);
  const routeSpans: Readonly<Record<Channel, RouteSpans>> = {
    push: new RouteSpans(tracing, "push"),
    email: new RouteSpans(tracing, "email"),
  };

  const consumer = loggerOf("intent_consumer");
  const publishers: Readonly<Record<Channel, Logger>> = {
    push: loggerOf("push_publisher"),
    email: loggerOf("email_publisher"),
  };
  const cleaner = loggerOf("retention_cleaner");

  return {
    /** The intents of one batch, malformed ones too, before anything is done with them: go on with what is returned. */
    intentsBegan: <Item extends Parameters<IntentSpans["begin"]>[0][number]>(items: Item[], stream: string): Item[] =>
      intentSpans.begin(items, stream),

    /** The routes of one claim, before anything is done with them: go on with what is returned. */
    routesBegan: (channel: Channel, routes: readonly DueRoute[], stream: string): readonly DueRoute[] =>
      routeSpans[channel].begin(routes, stream),

    accepted(batch: readonly IntentFields[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.intents, batch, (intent) => ({
        outcome: "accepted",
        notification_type: intent.notification_type,
      }));
      for (const intent of batch) {
        const span = intentSpans.fieldsOf(intent);
        logOften(consumer, "accepted", span.span_id === undefined ? intent : { ...intent, ...span });
        intentSpans.end(intent, "accepted");
      }
    },

    duplicate(batch: readonly IntentFields[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.intents, batch, (intent) => ({
        outcome: "duplicate",
        notification_type: intent.notification_type,
      }));
      for (const intent of batch) {
        consumer.debug("duplicate", { ...intent, ...intentSpans.fieldsOf(intent) });
        intentSpans.end(intent, "duplicate");
      }
    },

    /** @param type the intent's type if the catalog has it, else `unknown` */
    malformed(batch: readonly { fields: IntentFields; type: string; code: string; reason: string }[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.intents, batch, ({ type }) => ({ outcome: "malformed", notification_type: type }));
      addByKind(metrics.malformedIntents, batch, ({ code }) => ({ failure_code: code }));
      for (const { fields, code, reason } of batch) {
        consumer.warn("malformed intent", {
          ...known(fields),
          ...intentSpans.fieldsOf(fields),
          classification: code,
          reason,
        });
        intentSpans.end(fields, "malformed", { type: code, message: reason });
      }
    },

    skipped(batch: readonly { channel: string; classification: string }[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.skipped, batch, ({ channel, classification }) => ({ channel, classification }));
    },

    trimmedUnread(entries: number, stream: string): void {
      metrics.trimmed.add(entries);
      consumer.error("{entries} entries of the intent stream were trimmed unread", { stream, entries });
    },

    acceptDuration(durationMs: number): void {
      metrics.accept.record(durationMs / 1000);
    },

    /** @param latenciesMs from stream entry to publication, one a route */
    published(channel: Channel, latenciesMs: readonly number[]): void {
      if (latenciesMs.length === 0) return;
      const attributes = { channel };
      metrics.published.add(latenciesMs.length, attributes);
      for (const milliseconds of latenciesMs) metrics.latency.record(milliseconds / 1000, attributes);
    },

    /** One route of those that {@link published} counts. */
    routePublished(channel: Channel, route: DueRoute, entryId: string): void {
      routeSpans[channel].published(route, entryId);
    },

    publishDuration(channel: string, durationMs: number): void {
      metrics.publish.record(durationMs / 1000, { channel });
    },

    attemptsFailed(channel: Channel, batch: readonly (FailedAttempt & { readonly retryInMs: number })[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.retries, batch, ({ failure: { classification } }) => ({ channel, classification }));
      for (const { route, failure: { classification, message }, retryInMs } of batch) {
        publishers[channel].warn("attempt failed", {
          ...routeFields(route, channel),
          ...routeSpans[channel].fieldsOf(route),
          classification,
          reason: message,
          retry_in_ms: retryInMs,
        });
        routeSpans[channel].failed(route, "failed", { type: classification, message });
      }
    },

    deadLetters(channel: Channel, batch: readonly FailedAttempt[]): void {
      if (batch.length === 0) return;
      addByKind(metrics.deadLetters, batch, ({ failure: { classification } }) => ({ channel, classification }));
      for (const { route, failure: { classification, message } } of batch) {
        publishers[channel].error("dead letter", {
          ...routeFields(route, channel),
          ...routeSpans[channel].fieldsOf(route),
          classification,
          reason: message,
        });
        routeSpans[channel].failed(route, "dead_letter", { type: classification, message });
      }
    },

    cleaned(rows: Readonly<Record<string, number>>): void {
      for (const [table, number] of Object.entries(rows)) if (number > 0) metrics.deleted.add(number, { table });
      cleaner.info("cleaned", { ...rows });
    },

    userLookUp(durationMs: number, outcome: string): void {
      metrics.lookUp.record(durationMs / 1000, { outcome });
    },
  };
}

/** The log fields of a route. */
export function routeFields({ record, routeId }: DueRoute, channel: Channel) {
  const traceId = knownTraceId(record);
  return {
    notification_type: record.notificationType,
    producer: record.producer,
    audience_kind: record.audienceKind,
    notification_id: record.notificationId,
    route_id: routeId,
    channel,
    stream_entry_id: record.streamEntryId,
    ...(record.requestId === "" ? {} : { request_id: record.requestId }),
    ...(traceId === "" ? {} : { trace_id: traceId }),
  };
}

/** Without what could not be read. */
function known(fields: IntentFields): Partial<IntentFields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
}

/** Adds up the items that share attributes, so that the counter is called once for each set. */
function addByKind<Item>(counter: Counter, items: readonly Item[], attributesOf: (item: Item) => Attributes): void {
  const kinds = new Map<string, { attributes: Attributes; items: number }>();
  for (const item of items) {
    const attributes = attributesOf(item);
    const key = Object.values(attributes).join("\0");
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { attributes, items: 1 });
    else kind.items++;
  }
  for (const kind of kinds.values()) counter.add(kind.items, kind.attributes);
}
