/** A wait that a signal cuts short, and that leaves nothing behind at the signal, however often it is done. */

export const ABORTED = Symbol("aborted");

/** What `promise` resolves to, or `ABORTED` when the signal comes first; what becomes of it then is nobody's business. */
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
