/**
 * An error that a pass threw → the outage of a dependency. Every answer of a server is an outage; everything else is a
 * defect.
 */
import { describePostgresError, postgresFailure } from "../postgres/failures.ts";
import { RedisError } from "../redis/failures.ts";
import type { Dependency } from "../telemetry/outages.ts";

export interface About {
  readonly stream_entry_id?: string;
  /** The user whom the User Service can't answer for. */
  readonly recipient?: string;
}

/** Thrown by a stage that can't continue because of a dependency, with a message of its own. */
export class OutageError extends Error {
  override readonly name = "OutageError";
  readonly dependency: Dependency;
  /** How long the dependency asked the service to wait. */
  readonly retryAfterMs: number | undefined;
  /** Whether the pass made progress: the back-off then begins again. */
  readonly progressed: boolean;
  /** The dependencies that must have answered for the pass to come this far. */
  readonly answered: readonly Dependency[];
  /** What the pass could not do: fields of the log line. */
  readonly about: About;

  constructor(
    dependency: Dependency,
    reason: string,
    options: {
      retryAfterMs?: number | undefined;
      progressed?: boolean;
      answered?: readonly Dependency[];
      about?: About;
      cause?: unknown;
    } = {},
  ) {
    super(reason, { cause: options.cause });
    this.dependency = dependency;
    this.retryAfterMs = options.retryAfterMs;
    this.progressed = options.progressed ?? false;
    this.answered = options.answered ?? [];
    this.about = options.about ?? {};
  }
}

/**
 * The outage, if the error comes from a server or from the way to it; `undefined` if it is a defect of this program.
 */
export function outageOf(error: unknown): OutageError | undefined {
  if (error instanceof OutageError) return error;
  if (error instanceof RedisError) return new OutageError("redis", error.message, { cause: error });
  // Errors about data are outages too, if the stage has no row to blame.
  if (postgresFailure(error) === undefined) return undefined;
  return new OutageError("postgres", describePostgresError(error), { cause: error });
}
