/**
 * The instruments of what happens: names, units and descriptions, as the contract's section 9 has them. Those of what
 * is, the gauges, are in gauges.ts and outages.ts.
 */
import { metrics } from "@opentelemetry/api";

/** Seconds; the SDK's own boundaries are meant for milliseconds. */
const WORK_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** From a few milliseconds to a day of outage and a week of backlog. */
const LATENCY_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400, 604_800];

export function createInstruments() {
  const meter = metrics.getMeter("notification-service");
  const count = (name: string, unit: string, description: string) => meter.createCounter(name, { unit, description });
  const seconds = (name: string, description: string, explicitBucketBoundaries: number[] = WORK_S) =>
    meter.createHistogram(name, { unit: "s", description, advice: { explicitBucketBoundaries } });

  return {
    intents: count("notification.intents", "{intent}", "Intents dealt with, by outcome"),
    malformedIntents: count("notification.intents.malformed", "{intent}", "Malformed intents, by what is wrong"),
    trimmed: count(
      "notification.intent_stream.trimmed_unread",
      "{entry}",
      "Entries of the intent stream trimmed before they were read",
    ),
    published: count("notification.route.published", "{route}", "Routes published"),
    retries: count("notification.route.retries", "{attempt}", "Failed attempts that are tried again"),
    skipped: count("notification.route.skipped", "{route}", "Routes with nobody to deliver to"),
    deadLetters: count("notification.route.dead_letters", "{route}", "Routes given up"),
    deleted: count("notification.cleanup.deleted", "{row}", "Rows deleted after their retention time"),
    accept: seconds("notification.intent.accept.duration", "Time to accept one batch of intents"),
    publish: seconds("notification.route.publish.duration", "Time to publish one batch of routes"),
    latency: seconds("notification.route.delivery_latency", "Time from stream entry to publication", LATENCY_S),
    lookUp: seconds("notification.user_service.request.duration", "Time of one look-up in the User Service"),
  };
}
