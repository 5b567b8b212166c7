/**
 * JSON text ↔ its value, with each number as it is written: `1.10` and `12345678901234567890` stay that.
 *
 * By ECMAScript's "JSON.parse source text access", which Deno has, Node from 21 on, and TypeScript's library not yet.
 */
interface SourceTextAccess {
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
}

const json = JSON as unknown as SourceTextAccess;

/**
 * As `JSON.parse`, but a number becomes an object that {@link writtenNumber} knows and `JSON.stringify` writes as it was.
 *
 * @throws SyntaxError
 */
export function parseKeepingNumbers(text: string): unknown {
  return json.parse(text, (_key, value, { source }) => typeof value === "number" ? json.rawJSON(source) : value);
}

/** The text of a number in the result of {@link parseKeepingNumbers}; `undefined` for any other value. */
export function writtenNumber(value: unknown): string | undefined {
  return json.isRawJSON(value) ? value.rawJSON : undefined;
}
