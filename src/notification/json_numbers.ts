/**
 * JSON text ↔ its value, with each number as it was written: `1.10` and `12345678901234567890` are not changed.
 *
 * Uses ECMAScript's "JSON.parse source text access", which Deno and Node from 21 on have, but TypeScript's library does
 * not.
 */
interface SourceTextAccess {
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
}

const json = JSON as unknown as SourceTextAccess;

/**
 * Like `JSON.parse`, but a number becomes an object that {@link writtenNumber} recognises and `JSON.stringify` writes
 * unchanged.
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
