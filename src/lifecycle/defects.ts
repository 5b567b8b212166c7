/**
 * Which errors are a defect of this program: the exceptions that JavaScript itself throws, and failed assertions.
 *
 * What a server, a socket, TLS or name resolution answers never has these types in a place where a library's call is
 * recognised as such (`postgres/client.ts`, `redis/connection.ts`); there everything else is an outage.
 */
import { AssertionError } from "node:assert";

const DEFECTS = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError, AssertionError] as const;

export function isDefect(error: unknown): boolean {
  return !(error instanceof Error) || DEFECTS.some((type) => error instanceof type);
}
