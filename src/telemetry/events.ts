/**
 * What happens to intents and routes, told once: one method per business event that does metric and log together.
 *
 * Nothing here throws, and counters are added once a batch. Names, units and attributes are those of the contract's
 * section 9; attributes have few values, detail goes to the log.
 */
import { type Attributes, type Counter, metrics } from "@opentelemetry/api";
import type { Logger } from "@logtape/logtape";
import { loggerOf } from "./logging.ts";

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

/** The log fields of a route. */
export interface RouteFields extends IntentFields {
  readonly route_id: string;
  readonly channel: string;
}

export type Events = ReturnType<typeof createEvents>;

/** To be called once OpenTelemetry has started: instruments made before would never export. */
export function createEvents() {
  const meter = metrics.getMeter("notification-service");
  const count = (name: string, unit: string, description: string) => meter.createCounter(name, { unit, description });
  const seconds = (name: string, description: string) => meter.createHistogram(name, { unit: "s", description });

  const intents = count("notification.intents", "{intent}", "Intents dealt with, by outcome");
  const malformedIntents = count("notification.intents.malformed", "{intent}", "Malformed intents, by what is wrong");
  const trimmed = count(
    "notification.intent_stream.trimmed_unread",
    "{entry}",
    "Entries trimmed before they were read",
  );
  const published = count("notification.route.published", "{route}", "Routes published");
  const retries = count("notification.route.retries", "{attempt}", "Failed attempts that are tried again");
  const skipped = count("notification.route.skipped", "{route}", "Routes with nobody to deliver to");
  const deadLetters = count("notification.route.dead_letters", "{route}", "Routes given up");
  const deleted = count("notification.cleanup.deleted", "{row}", "Rows deleted after their retention time");
  const accept = seconds("notification.intent.accept.duration", "Time to accept one batch of intents");
  const publish = seconds("notification.route.publish.duration", "Time to publish one batch of routes");
  const latency = seconds("notification.route.delivery_latency", "Time from stream entry to publication");
  const lookUp = seconds("notification.user_service.request.duration", "Time of one look-up in the User Service");

  const consumer = loggerOf("intent_consumer");
  const publishers: Record<string, Logger> = {
    push: loggerOf("push_publisher"),
    email: loggerOf("email_publisher"),
  };
  const cleaner = loggerOf("retention_cleaner");

  return {
    accepted(batch: readonly IntentFields[]): void {
      if (batch.length === 0) return;
      addByKind(intents, batch, (intent) => ({ outcome: "accepted", notification_type: intent.notification_type }));
      for (const intent of batch) consumer.info("accepted", { ...intent });
    },

    duplicate(batch: readonly IntentFields[]): void {
      if (batch.length === 0) return;
      addByKind(intents, batch, (intent) => ({ outcome: "duplicate", notification_type: intent.notification_type }));
      for (const intent of batch) consumer.debug("duplicate", { ...intent });
    },

    /** @param type the intent's type if the catalog has it, else `unknown` */
    malformed(batch: readonly { fields: IntentFields; type: string; code: string; reason: string }[]): void {
      if (batch.length === 0) return;
      addByKind(intents, batch, ({ type }) => ({ outcome: "malformed", notification_type: type }));
      addByKind(malformedIntents, batch, ({ code }) => ({ failure_code: code }));
      for (const { fields, code, reason } of batch) {
        consumer.warn("malformed intent", { ...fields, classification: code, reason });
      }
    },

    skipped(batch: readonly { channel: string; classification: string }[]): void {
      if (batch.length === 0) return;
      addByKind(skipped, batch, ({ channel, classification }) => ({ channel, classification }));
    },

    trimmedUnread(entries: number, stream: string): void {
      trimmed.add(entries);
      consumer.error(`${entries} entries of the intent stream were trimmed unread`, { stream, entries });
    },

    acceptDuration(durationMs: number): void {
      accept.record(durationMs / 1000);
    },

    /** @param latenciesMs from stream entry to publication, one a route */
    published(channel: string, latenciesMs: readonly number[]): void {
      if (latenciesMs.length === 0) return;
      published.add(latenciesMs.length, { channel });
      for (const milliseconds of latenciesMs) latency.record(milliseconds / 1000, { channel });
    },

    publishDuration(channel: string, durationMs: number): void {
      publish.record(durationMs / 1000, { channel });
    },

    attemptFailed(route: RouteFields, failure: { classification: string; reason: string; retryInMs: number }): void {
      const { classification, reason, retryInMs } = failure;
      retries.add(1, { channel: route.channel, classification });
      publishers[route.channel]?.warn("attempt failed", { ...route, classification, reason, retry_in_ms: retryInMs });
    },

    deadLetter(route: RouteFields, { classification, reason }: { classification: string; reason: string }): void {
      deadLetters.add(1, { channel: route.channel, classification });
      publishers[route.channel]?.error("dead letter", { ...route, classification, reason });
    },

    cleaned(rows: Readonly<Record<string, number>>): void {
      for (const [table, number] of Object.entries(rows)) if (number > 0) deleted.add(number, { table });
      cleaner.info("cleaned", { ...rows });
    },

    userLookUp(durationMs: number, outcome: string): void {
      lookUp.record(durationMs / 1000, { outcome });
    },
  };
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
