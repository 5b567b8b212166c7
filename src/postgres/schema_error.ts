/**
 * Why the schema can't be used, with a message for the operator. Thrown when the schema is migrated or checked; the
 * error of PostgreSQL is the cause.
 */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}
