/** PostgreSQL can't be reached, or is none that this service can work with. */
export class UnsuitablePostgres extends Error {
  override readonly name = "UnsuitablePostgres";
  /** What to do about it. */
  readonly advice: string;

  constructor(message: string, { advice, ...options }: ErrorOptions & { readonly advice: string }) {
    super(message, options);
    this.advice = advice;
  }
}

/** The error itself or one of its causes. */
export function unsuitablePostgresIn(error: unknown): UnsuitablePostgres | undefined {
  if (error instanceof UnsuitablePostgres) return error;
  return error instanceof Error && error.cause !== undefined ? unsuitablePostgresIn(error.cause) : undefined;
}
