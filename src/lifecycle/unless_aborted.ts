/** A wait that a signal ends, and that leaves no listener on the signal. */

export const ABORTED = Symbol("aborted");

/**
 * Resolves to the promise's value, or to `ABORTED` if the signal comes first; the promise's later result is then
 * ignored.
 */
export async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value | typeof ABORTED> {
  const { promise: aborted, resolve } = Promise.withResolvers<typeof ABORTED>();
  const onAbort = () => resolve(ABORTED);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
