/** PostgreSQL can't be reached, or this service can't work with it. */
export class UnsuitablePostgres extends Error {
  override readonly name = "UnsuitablePostgres";
  /** What the operator can do. */
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
