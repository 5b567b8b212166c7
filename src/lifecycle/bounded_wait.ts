/**
 * A promise and a number of milliseconds → what the promise resolves to, if it does so in time.
 *
 * Neither function leaves a timer behind, and neither cancels anything: a promise that is late continues, and its
 * result is ignored.
 */
import { type Clock, systemClock } from "../clock.ts";

type Sleeper = Pick<Clock, "sleep">;

const LATE = Symbol("late");

/** `undefined` if the promise takes longer than `ms` or rejects. Never rejects. */
export async function within<Value>(
  ms: number,
  promise: Promise<Value>,
  clock: Sleeper = systemClock,
): Promise<Value | undefined> {
  const result = await race(ms, promise.catch(() => LATE), clock);
  return result === LATE ? undefined : result as Value;
}

/**
 * Rejects with the error of `lateError` if the promise takes longer than `ms`, and with the promise's own error if it
 * rejects.
 */
export async function withinOrThrow<Value>(
  ms: number,
  promise: Promise<Value>,
  lateError: () => Error,
): Promise<Value> {
  const result = await race(ms, promise, systemClock);
  if (result === LATE) throw lateError();
  return result;
}

async function race<Value>(ms: number, promise: Promise<Value>, clock: Sleeper): Promise<Value | typeof LATE> {
  if (ms === Infinity) return await promise;
  const answered = new AbortController();
  const timeOut = clock.sleep(ms, answered.signal).then((): typeof LATE => LATE);
  try {
    return await Promise.race([promise, timeOut]);
  } finally {
    answered.abort();
  }
}
