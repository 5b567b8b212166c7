/** One step of the start-up: a check of a dependency that ends within its bound, and at once when the shutdown begins. */
import { describePostgresError } from "../postgres/failures.ts";

export class StartUpFailed extends Error {
  override readonly name = "StartUpFailed";
  readonly dependency: string;

  constructor(dependency: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.dependency = dependency;
  }
}

export class StoppedWhileStarting extends Error {
  override readonly name = "StoppedWhileStarting";
}

/** @throws StartUpFailed, or StoppedWhileStarting; what `check` does afterwards is ended with the process. */
export async function startStep<Value>(
  dependency: string,
  check: () => Promise<Value>,
  { boundMs, stop }: { boundMs: number; stop: AbortSignal },
): Promise<Value> {
  const stopped = () => new StoppedWhileStarting("The shutdown began during start-up");
  if (stop.aborted) throw stopped();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onStop = () => reject(stopped());
  const timer = Number.isFinite(boundMs)
    ? setTimeout(() => reject(new StartUpFailed(dependency, `No answer within ${boundMs} ms`)), boundMs)
    : undefined;
  stop.addEventListener("abort", onStop);
  try {
    return await Promise.race([check(), ended]);
  } catch (error) {
    if (error instanceof StoppedWhileStarting || error instanceof StartUpFailed) throw error;
    throw new StartUpFailed(dependency, describePostgresError(error), { cause: error });
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", onStop);
  }
}
