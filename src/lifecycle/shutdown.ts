/**
 * From a signal to the end of the process: one controller, one bound.
 *
 * The first signal aborts `stop`: no new work begins. After 60 % of the bound `abandon` aborts: waits end and the
 * current batch is given up, which is safe. When the bound is over, or at a second signal, the process ends at once.
 */
import { after, systemClock } from "../clock.ts";
import { loggerOf } from "../telemetry/logger.ts";

export const EXIT = {
  ok: 0,
  shutdownFailed: 1,
  dependency: 69,
  unexpected: 70,
  configuration: 78,
} as const;

export interface ShutdownOptions {
  readonly boundMs: number;
  /** Ends the process at once, after it has flushed the log as far as possible. */
  readonly exit: (code: number) => Promise<never> | never;
}

const ABANDON_AFTER = 0.6;

export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #stop = new AbortController();
  readonly #abandon = new AbortController();
  readonly #cancelTimers: (() => void)[] = [];
  readonly #onSignal = (signal: Deno.Signal) => this.#signalled(signal);
  readonly #listeners = (["SIGTERM", "SIGINT"] as const).map((signal) => ({
    signal,
    listener: () => this.#onSignal(signal),
  }));
  #startedAtMs = 0;

  constructor(options: ShutdownOptions) {
    this.#options = options;
    for (const { signal, listener } of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  /** Aborts when no new work may begin. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborts when waits have to end. */
  get abandon(): AbortSignal {
    return this.#abandon.signal;
  }

  /** Milliseconds left of the bound; all of it before the shutdown has begun. */
  get leftMs(): number {
    const { boundMs } = this.#options;
    return this.stop.aborted ? Math.max(0, boundMs - (systemClock.monotonic() - this.#startedAtMs)) : boundMs;
  }

  /** Begins the shutdown, as a signal does. */
  begin(reason: string): void {
    if (this.stop.aborted) return;
    const { boundMs, exit } = this.#options;
    this.#startedAtMs = systemClock.monotonic();
    loggerOf("service").info("shutting down", { reason, bound_ms: boundMs });
    this.#cancelTimers.push(
      after(boundMs * ABANDON_AFTER, () => this.#abandon.abort()),
      after(boundMs, () => {
        loggerOf("service").error("shutdown ran past its bound", { bound_ms: boundMs });
        exit(EXIT.shutdownFailed);
      }),
    );
    this.#stop.abort();
  }

  /** Call this when everything has ended: signals and the bound no longer matter. */
  finish(): void {
    for (const cancel of this.#cancelTimers) cancel();
    for (const { signal, listener } of this.#listeners) Deno.removeSignalListener(signal, listener);
  }

  #signalled(signal: Deno.Signal): void {
    if (!this.stop.aborted) return this.begin(signal);
    loggerOf("service").warn("a second signal ends the process at once", { signal });
    this.#options.exit(EXIT.shutdownFailed);
  }
}
