/**
 * Why the schema can't be used, in words for the operator. Thrown by whatever migrates or checks it; what PostgreSQL
 * said is kept as the cause.
 */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}
