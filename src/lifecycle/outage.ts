/** An error that a pass threw → the dependency that is out. Whatever a server answers is one; everything else is a defect. */
import { describePostgresError, postgresFailure } from "../postgres/failures.ts";
import { RedisError } from "../redis/failures.ts";
import type { Dependency } from "../telemetry/outages.ts";

export interface About {
  readonly stream_entry_id?: string;
  /** The user whom the User Service can't answer for. */
  readonly recipient?: string;
}

/** Thrown by a stage that can't go on because of a dependency, in its own words. */
export class OutageError extends Error {
  override readonly name = "OutageError";
  readonly dependency: Dependency;
  /** How long the dependency asked to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** Whether something was done before: the back-off then begins again. */
  readonly progressed: boolean;
  /** Those without which the pass would not have come as far as this. */
  readonly answered: readonly Dependency[];
  /** What could not be done without the dependency: fields of the log line. */
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

/** The outage that an error of a server or of the way to it is; `undefined` where it is a defect of this program. */
export function outageOf(error: unknown): OutageError | undefined {
  if (error instanceof OutageError) return error;
  if (error instanceof RedisError) return new OutageError("redis", error.message, { cause: error });
  // Also what is about data, where a stage has no row that it could set aside for it.
  if (postgresFailure(error) === undefined) return undefined;
  return new OutageError("postgres", describePostgresError(error), { cause: error });
}
