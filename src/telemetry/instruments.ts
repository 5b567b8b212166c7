/**
 * The counters and histograms: names, units and descriptions as in section 9 of docs/contract.md. The gauges are in
 * backlog/gauges.ts and outages.ts.
 */
import { type Counter, metrics } from "@opentelemetry/api";
import { MALFORMED_CODES } from "../notification/intent.ts";
import { type Channel, CHANNELS, FAILURE_CLASSIFICATIONS, SKIP_REASONS } from "../notification/route.ts";

/** Seconds; the SDK's own boundaries are for milliseconds. */
const WORK_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** From a few milliseconds to a day of outage and a week of backlog. */
const LATENCY_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400, 604_800];

export type Instruments = ReturnType<typeof createInstruments>;

/** Call this once, after OpenTelemetry has started: earlier instruments would never export. */
export function createInstruments() {
  const meter = metrics.getMeter("notification-service");
  const count = (name: string, unit: string, description: string) => meter.createCounter(name, { unit, description });
  const seconds = (name: string, description: string, explicitBucketBoundaries: number[] = WORK_S) =>
    meter.createHistogram(name, { unit: "s", description, advice: { explicitBucketBoundaries } });

  const instruments = {
    intents: count("notification.intents", "{intent}", "Intents with an outcome, by outcome"),
    malformedIntents: count("notification.intents.malformed", "{intent}", "Malformed intents, by failure code"),
    trimmed: count(
      "notification.intent_stream.trimmed_unread",
      "{entry}",
      "Entries of the intent stream trimmed before they were read",
    ),
    published: count("notification.route.published", "{route}", "Routes published"),
    retries: count("notification.route.retries", "{attempt}", "Failed attempts that are tried again"),
    skipped: count("notification.route.skipped", "{route}", "Routes without an address"),
    deadLetters: count("notification.route.dead_letters", "{route}", "Routes given up"),
    late: count("notification.route.late", "{route}", "Routes whose batch came too late for its claim"),
    lost: count("notification.outbound.lost", "{route}", "Published entries that Redis lost"),
    republished: count("notification.outbound.republished", "{route}", "Lost entries that are published again"),
    rebuiltLeases: count(
      "notification.leases.rebuilt",
      "{lease}",
      "Leases set from the outbound streams after PostgreSQL lost commits",
    ),
    deleted: count("notification.cleanup.deleted", "{row}", "Rows deleted after their retention time"),
    accept: seconds("notification.intent.accept.duration", "Time to accept one batch of intents"),
    publish: seconds("notification.route.publish.duration", "Time to publish one batch of routes"),
    latency: seconds("notification.route.delivery_latency", "Time from stream entry to publication", LATENCY_S),
    lookUp: seconds("notification.user_service.request.duration", "Time of one look-up in the User Service"),
  };
  startAtZero(instruments);
  return instruments;
}

const TABLES = ["records", "routes", "dead_letters", "malformed_intents"];
/** A classification that never occurs in the channel. */
const NEVER: Readonly<Record<Channel, string>> = {
  push: "mail_stream_publish_failed",
  email: "gateway_stream_publish_failed",
};

type Counters = Readonly<
  Record<
    | "malformedIntents"
    | "trimmed"
    | "published"
    | "retries"
    | "skipped"
    | "deadLetters"
    | "late"
    | "lost"
    | "republished"
    | "rebuiltLeases"
    | "deleted",
    Counter
  >
>;

/**
 * Series that alerts use begin at 0, because an increase can't be seen in a series that begins with its first event.
 */
function startAtZero(
  {
    malformedIntents,
    trimmed,
    published,
    retries,
    skipped,
    deadLetters,
    late,
    lost,
    republished,
    rebuiltLeases,
    deleted,
  }: Counters,
): void {
  for (const failure_code of MALFORMED_CODES) malformedIntents.add(0, { failure_code });
  trimmed.add(0);
  rebuiltLeases.add(0);
  for (const channel of CHANNELS) {
    for (const counter of [published, late, lost, republished]) counter.add(0, { channel });
    for (const classification of FAILURE_CLASSIFICATIONS.filter((name) => name !== NEVER[channel])) {
      if (classification !== "payload_encoding_failed") retries.add(0, { channel, classification });
      deadLetters.add(0, { channel, classification });
    }
  }
  for (const classification of SKIP_REASONS) skipped.add(0, { channel: "email", classification });
  for (const table of TABLES) deleted.add(0, { table });
}
