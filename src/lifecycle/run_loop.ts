/**
 * Runs a loop: pass after pass until `stop` aborts. Only this file paces, backs off and logs a loop's life.
 *
 * A pass that fails because of an outage is tried again, with a delay from 100 ms up; any other error ends the loop,
 * and with it the process. After `stop` aborts, the current pass is finished and no other begins.
 */
import type { Clock } from "../clock.ts";
import { loggerOf } from "../telemetry/logger.ts";
import type { Dependency, Outages } from "../telemetry/outages.ts";
import type { Heartbeats } from "./heartbeats.ts";
import { type OutageError, outageOf } from "./outage.ts";
import { ABORTED, unlessAborted } from "./unless_aborted.ts";

export interface Loop {
  /** The `logger` of its lines. */
  readonly name: string;
  /** Whether start and stop of the loop do not interest operators: they are then logged at `debug`. */
  readonly isBackground?: true;
  /** Does one batch. `again`: there may be more; `idle`: wait first. */
  readonly pass: (stop: AbortSignal) => Promise<"again" | "idle">;
  /** Waits until there may be work; resolves early when `stop` aborts. */
  readonly idle: (stop: AbortSignal) => Promise<void>;
  /** Releases what the loop holds, after its last pass. The shutdown bounds this too. */
  readonly close?: () => Promise<void>;
}

const BACKOFF_MIN_MS = 100;
/** The User Service has other clients and may be overloaded: it gets a longer pause than our own stores. */
const BACKOFF_MAX_MS: Readonly<Record<Dependency, number>> = {
  redis: 1000,
  postgres: 1000,
  user_service: 10_000,
  intent_stream: 5000,
};

export interface LoopOptions {
  readonly stop: AbortSignal;
  /** Aborts when the shutdown no longer waits for the current pass. */
  readonly abandon: AbortSignal;
  readonly clock: Clock;
  readonly outages: Outages;
  readonly heartbeats: Heartbeats;
  /**
   * Called with an error that is no outage and ends the loop; it has to begin the shutdown, for which `close` may wait.
   */
  readonly onDefect: (error: unknown) => void;
}

export async function runLoop(
  loop: Loop,
  { stop, abandon, clock, outages, heartbeats, onDefect }: LoopOptions,
): Promise<void> {
  const logger = loggerOf(loop.name);
  const level = loop.isBackground ? "debug" : "info";
  logger[level]("started");
  let failures = 0;
  let lastOut: Dependency | undefined;
  while (!stop.aborted) {
    try {
      const result = await withHeartbeat(loop, heartbeats, () => unlessAborted(loop.pass(stop), abandon));
      if (result === ABORTED) {
        logger.warn("the current batch was abandoned");
        break;
      }
      outages.over(loop.name);
      failures = 0;
      if (result === "idle") await loop.idle(stop);
    } catch (error) {
      const outage = outageOf(error);
      if (outage === undefined) {
        logger.error("unexpected error", { reason: describeDefect(error) });
        onDefect(error);
        break;
      }
      if (stop.aborted) {
        logger.warn("the current batch was abandoned", { dependency: outage.dependency, reason: outage.message });
        break;
      }
      outages.over(loop.name, outage.answered);
      outages.began(outage.dependency, loop.name, { reason: outage.message, ...outage.about });
      failures = outage.progressed || outage.dependency !== lastOut ? 1 : failures + 1;
      lastOut = outage.dependency;
      await clock.sleep(backoffMs(outage, failures), stop);
    }
  }
  // A failure to release something does no harm: a process that dies does not release it either.
  await unlessAborted(loop.close?.().catch(() => {}) ?? Promise.resolve(), abandon);
  logger[level]("stopped");
}

export function describeDefect(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

async function withHeartbeat<Result>(
  { name }: Loop,
  heartbeats: Heartbeats,
  pass: () => Promise<Result>,
): Promise<Result> {
  heartbeats.passBegan(name);
  try {
    return await pass();
  } finally {
    heartbeats.passEnded(name);
  }
}

function backoffMs({ dependency, retryAfterMs }: OutageError, failures: number): number {
  const backoff = Math.min(BACKOFF_MAX_MS[dependency], BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 20));
  return Math.max(backoff, retryAfterMs ?? 0);
}
