/** Leases whose life could not be shortened → a counter by the code of Redis's answer, and a warning. Never throws. */
import { metrics } from "@opentelemetry/api";
import type { RedisError } from "../redis/failures.ts";
import { loggerOf } from "../telemetry/logger.ts";

const NO_ANSWER = "none";

/** Call this after OpenTelemetry has started. */
export function createLeaseEvents() {
  const notShortened = metrics.getMeter("notification-service").createCounter("notification.leases.not_shortened", {
    unit: "{lease}",
    description: "Leases of published routes that keep their full life, because Redis did not shorten it",
  });
  // An increase can't be seen in a series that appears with its first event.
  for (const code of [NO_ANSWER, "NOPERM"]) notShortened.add(0, { code });

  return {
    notShortened(leases: number, { code, message }: RedisError): void {
      notShortened.add(leases, { code: code === "" ? NO_ANSWER : code });
      // Without an answer it is an outage, which the publishers report.
      if (code === "") return;
      loggerOf("outcome_writer").warn("leases can't be shortened: they take up Redis's memory for their full time", {
        leases,
        classification: code,
        reason: message,
      });
    },
  };
}
