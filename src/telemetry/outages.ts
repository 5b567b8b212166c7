/**
 * Which dependency is out, since when, and for which loops. The beginning and the end of an outage are logged once,
 * however many loops meet it and however often.
 */
import { metrics } from "@opentelemetry/api";
import type { Clock } from "../clock.ts";
import { loggerOf } from "./logger.ts";

const DEPENDENCIES = ["redis", "postgres", "user_service", "intent_stream"] as const;
export type Dependency = typeof DEPENDENCIES[number];

interface Ongoing {
  /** By the monotonic clock. */
  readonly sinceMs: number;
  /** The loops that have not passed the outage yet. */
  readonly loops: Set<string>;
}

export class Outages {
  readonly #clock: Clock;
  readonly #ongoing = new Map<Dependency, Ongoing>();
  readonly #logger = loggerOf("dependencies");
  readonly #outages = metrics.getMeter("notification-service").createCounter("notification.dependency.outages", {
    unit: "{outage}",
    description: "Outages of a dependency that began",
  });

  constructor(clock: Clock) {
    this.#clock = clock;
    for (const dependency of DEPENDENCIES) this.#outages.add(0, { dependency });
    metrics.getMeter("notification-service").createObservableGauge("notification.dependency.unavailable", {
      unit: "{dependency}",
      description: "1 while the dependency is out, otherwise 0",
    }).addCallback((result) => {
      for (const dependency of DEPENDENCIES) {
        result.observe(this.#ongoing.has(dependency) ? 1 : 0, { dependency });
      }
    });
  }

  /**
   * Call this when a loop can't continue because of `dependency`. @param details fields of the log line: the reason,
   * and what waits
   */
  began(dependency: Dependency, loop: string, details: Readonly<Record<string, unknown>>): void {
    const ongoing = this.#ongoing.get(dependency);
    if (ongoing !== undefined) {
      ongoing.loops.add(loop);
      return;
    }
    this.#ongoing.set(dependency, { sinceMs: this.#clock.monotonic(), loops: new Set([loop]) });
    this.#outages.add(1, { dependency });
    const properties = { dependency, first_seen_by: loop, ...details };
    // The stream's key has the wrong type, or this user has no rights on it: only an operator can fix that.
    if (dependency === "intent_stream") this.#logger.error("dependency is unavailable", properties);
    else this.#logger.warn("dependency is unavailable", properties);
  }

  /**
   * Call this when a loop has done a pass, which ends all its outages, or when the dependencies in `answered` have
   * answered it.
   */
  over(loop: string, answered: readonly Dependency[] = DEPENDENCIES): void {
    if (this.#ongoing.size === 0) return;
    for (const dependency of answered) {
      const ongoing = this.#ongoing.get(dependency);
      if (ongoing === undefined || !ongoing.loops.delete(loop) || ongoing.loops.size > 0) continue;
      this.#ongoing.delete(dependency);
      const outageMs = Math.round(this.#clock.monotonic() - ongoing.sinceMs);
      this.#logger.info("dependency is available again", { dependency, outage_ms: outageMs });
    }
  }
}
