/**
 * The text of a variable → its value, or `undefined` if the text is not of the variable's form. Each form describes in
 * words what it expects. Pure.
 *
 * A form never throws and never repeats the text, which may be a secret that was set in the wrong variable.
 */
import { type HostPort, type ListenAddress, parseHostPort, parseListenAddress } from "./addresses.ts";
import { parseDuration } from "./durations.ts";
import { Secret } from "./secret.ts";
import { parseBaseUrl, parsePostgresUrl } from "./urls.ts";

export interface Form<T> {
  /** Completes "NOTIFICATION_X should be …". */
  readonly expected: string;
  /** The value, or undefined if the text is not of this form. */
  readonly parse: (text: string) => T | undefined;
}

/** A decimal integer, both bounds included; no sign, no exponent, no leading zero. */
export function integer(minimum: number, maximum: number): Form<number> {
  return {
    expected: `a decimal integer from ${minimum} to ${maximum}`,
    parse(text) {
      if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) return undefined;
      const value = Number(text);
      return value >= minimum && value <= maximum ? value : undefined;
    },
  };
}

/** A Go-style duration in milliseconds, both bounds (given in the same style) included. */
export function duration(minimum: string, maximum: string): Form<number> {
  const [minMs, maxMs] = [parseDuration(minimum), parseDuration(maximum)];
  if (minMs === undefined || maxMs === undefined) throw new TypeError(`No duration: ${minimum} or ${maximum}`);
  return {
    expected: `a duration from ${minimum} to ${maximum} in whole milliseconds, such as 250ms, 5s or 1h30m`,
    parse(text) {
      const value = parseDuration(text);
      return value !== undefined && value >= minMs && value <= maxMs ? value : undefined;
    },
  };
}

export function oneOf<const T extends string>(choices: readonly T[]): Form<T> {
  return {
    expected: `one of ${choices.join(", ")}`,
    parse: (text) => choices.find((choice) => choice === text),
  };
}

/** Bounded because the name is part of Redis keys and of PostgreSQL index entries. */
export const streamName: Form<string> = {
  expected: "the name of a Redis stream, 1 to 256 characters without white space or control characters",
  parse: (text) => /^[^\s\p{C}]{1,256}$/u.test(text) ? text : undefined,
};

/** Whether the text contains no character that would break, or hide a part of, the line in which it is printed. */
export const isOneLine = (text: string): boolean => /^[^\p{C}\u2028\u2029]*$/u.test(text);

/** Without white space at its ends, so that `production ` and `production` can't be two environments. */
export const label: Form<string> = {
  expected: "a name of at most 256 characters without control characters and without white space at its ends",
  parse: (text) => isOneLine(text) && [...text].length <= 256 && text.trim() === text ? text : undefined,
};

export const filePath: Form<string> = {
  expected: "the path of a file, without control characters",
  parse: (text) => isOneLine(text) ? text : undefined,
};

export const password: Form<Secret> = {
  expected: "a password that is not empty",
  parse: (text) => text === "" ? undefined : new Secret(text),
};

export const postgresUrl: Form<Secret> = {
  expected: "a postgres:// or postgresql:// URL with one host, such as postgres://user:password@host:5432/database, " +
    "where special characters in user and password are percent-encoded",
  parse(text) {
    const url = parsePostgresUrl(text);
    return url === undefined ? undefined : new Secret(url);
  },
};

export const baseUrl: Form<string> = {
  expected: "an http:// or https:// URL without user, password, query and fragment, such as http://users.internal:8080",
  parse: parseBaseUrl,
};

export const hostPort: Form<HostPort> = {
  expected: "host:port, such as redis.internal:6379 or [::1]:6379",
  parse: parseHostPort,
};

export const listenAddress: Form<ListenAddress> = {
  expected: "host:port, such as 127.0.0.1:8092, [::1]:8092, or :8092 for all interfaces",
  parse: parseListenAddress,
};
