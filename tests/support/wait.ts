/**
 * A condition → its value once it holds.
 *
 * It is checked repeatedly until it holds or the time is over; an exception means "not yet". The error after the time
 * contains the message and the last exception.
 */

export interface WaitOptions {
  /** Default ten seconds. */
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** What did not happen, as a text or a function that returns it. */
  readonly message?: string | (() => string);
  /**
   * The progress so far: whenever it changes, the time begins again. It must stop changing at some point, or the wait
   * never ends.
   */
  readonly progress?: () => unknown;
}

/** Returns the first truthy value of `condition`. */
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
      const since = progress === undefined ? "" : " since the last progress";
      throw new Error(`${text} within ${timeoutMs} ms${since}${reason}`, { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
