/**
 * One step of the start-up: a check of a dependency. It ends within its bound, and at once when the shutdown begins.
 */
import { describePostgresError } from "../postgres/failures.ts";
import { withinOrThrow } from "./bounded_wait.ts";
import { ABORTED, unlessAborted } from "./unless_aborted.ts";

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

/** @throws StartUpFailed, or StoppedWhileStarting; a check that is still running then ends with the process. */
export async function startStep<Value>(
  dependency: string,
  check: () => Promise<Value>,
  { boundMs, stop }: { boundMs: number; stop: AbortSignal },
): Promise<Value> {
  const stopped = () => new StoppedWhileStarting("The shutdown began during start-up");
  const late = () => new StartUpFailed(dependency, `No answer within ${boundMs} ms`);
  if (stop.aborted) throw stopped();
  try {
    const result = await withinOrThrow(boundMs, unlessAborted(check(), stop), late);
    if (result === ABORTED) throw stopped();
    return result;
  } catch (error) {
    if (error instanceof StoppedWhileStarting || error instanceof StartUpFailed) throw error;
    throw new StartUpFailed(dependency, describePostgresError(error), { cause: error });
  }
}
