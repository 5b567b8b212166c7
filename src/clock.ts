/**
 * The only door to time and chance outside the database.
 *
 * SQL uses the database's clock, the hand-off script Redis's clock; everything else asks a {@link Clock}, so that tests
 * can set it. `deno task ok` refuses `Date.now()`, timers and the like anywhere else in src/. Durations and deadlines
 * are measured by `monotonic()`, which does not change when the system's clock is set; `now()` is for times that are
 * shown or sent.
 */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Milliseconds since a fixed time in the process's life; setting the system's clock does not change it. */
  monotonic(): number;
  /** A number in [0, 1). */
  random(): number;
  /**
   * Resolves after `ms` milliseconds (24 days at most), or as soon as `signal` aborts. Never rejects, leaves no timer
   * and no listener.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A longer timer would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  // Not the sleep of node:timers/promises: its error on an abort costs several times as much as the rest.
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(ms, MAX_TIMER_MS));
      signal?.addEventListener("abort", end);
    }),
};

type Sleeper = Pick<Clock, "sleep">;

/** Calls `action` once, after `ms` milliseconds. Returns a function that cancels the call and leaves no timer. */
export function after(ms: number, action: () => void, clock: Sleeper = systemClock): () => void {
  const cancelled = new AbortController();
  clock.sleep(ms, cancelled.signal).then(() => {
    if (!cancelled.signal.aborted) action();
  });
  return () => cancelled.abort();
}

/** Calls `action` every `ms` milliseconds. Returns a function that ends the calls and leaves no timer. */
export function every(ms: number, action: () => void, clock: Sleeper = systemClock): () => void {
  const ended = new AbortController();
  const repeat = async () => {
    for (;;) {
      await clock.sleep(ms, ended.signal);
      if (ended.signal.aborted) return;
      action();
    }
  };
  repeat();
  return () => ended.abort();
}

/**
 * A signal that aborts with a `TimeoutError` after `ms` milliseconds; for many requests, where `after` would cost more
 * than twice as much. Tests can't set its clock. It keeps no process alive, and its timer ends with the signal.
 */
export function timeOutSignal(ms: number): AbortSignal {
  return AbortSignal.timeout(ms);
}
