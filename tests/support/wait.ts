// In: a condition. Out: its value once it holds.
// Guaranteed: asked again and again, an exception counting as "not yet", until it holds or the time is over; the error
// then says what was waited for and what the last exception was.

export interface WaitOptions {
  /** Default ten seconds. */
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** What did not happen, as a text or made when it is needed. */
  readonly message?: string | (() => string);
  /** How far things are: the time begins anew whenever this has changed. It has to end by itself, or the wait never does. */
  readonly progress?: () => unknown;
}

/** Returns the first value of `condition` that is truthy. */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 10, message = "The condition did not come true", progress }: WaitOptions = {},
): Promise<NonNullable<T>> {
  let deadline = performance.now() + timeoutMs;
  let reached: unknown;
  for (;;) {
    let cause: unknown;
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      cause = error;
    }
    if (progress !== undefined && progress() !== reached) {
      reached = progress();
      deadline = performance.now() + timeoutMs;
    }
    if (performance.now() > deadline) {
      const text = typeof message === "string" ? message : message();
      const reason = cause instanceof Error ? `: ${cause.message}` : "";
      const since = progress === undefined ? "" : " since things stood still";
      throw new Error(`${text} within ${timeoutMs} ms${since}${reason}`, { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
