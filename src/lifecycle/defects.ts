/**
 * Which errors are a defect of this program: the exceptions that JavaScript itself throws, and failed assertions.
 *
 * Answers of a server, a socket, TLS or name resolution never have these types where the calls of a library are wrapped
 * (`postgres/client.ts`, `redis/connection.ts`); there, every other error is an outage.
 */
import { AssertionError } from "node:assert";

const DEFECTS = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError, AssertionError] as const;

export function isDefect(error: unknown): boolean {
  return !(error instanceof Error) || DEFECTS.some((type) => error instanceof type);
}
