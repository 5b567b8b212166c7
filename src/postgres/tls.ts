/**
 * A DSN's `ssl…` parameters → what pg is to do about TLS. The certificates' files are read each time, so that a connection uses
 * what they hold when it is made.
 *
 *     none of them             no TLS (pg's own rule, which PGSSLMODE can change)
 *     sslmode=disable          no TLS
 *     sslmode=no-verify        TLS, whatever certificate the server shows
 *     any other sslmode        TLS; the certificate must be signed by a known authority for the DSN's host
 *
 * With `uselibpqcompat=true` the DSN is left to pg, which then gives `sslmode` libpq's meanings.
 */
// @ts-types="@types/pg"
import type pg from "pg";
import { isDefect } from "../lifecycle/defects.ts";

const VERIFYING = ["prefer", "require", "verify-ca", "verify-full"] as const;
const MODES = ["disable", "no-verify", ...VERIFYING];

/** What TLS's options are called in the DSN and in pg. */
const FILES = { sslrootcert: "ca", sslcert: "cert", sslkey: "key" } as const;

/** A message for the operator that names a parameter of the DSN and never its value. */
export class UnusableDsn extends Error {
  override readonly name = "UnusableDsn";
}

/** @throws UnusableDsn */
export function withTls(dsn: string): pg.ClientConfig {
  const url = URL.parse(dsn);
  if (url === null) throw new UnusableDsn("it is not a URL");
  const given = url.searchParams;
  const mode = given.get("sslmode") ?? undefined;
  const hasFiles = Object.keys(FILES).some((name) => given.get(name));
  if (given.get("uselibpqcompat") === "true" || (mode === undefined && !hasFiles)) return { connectionString: dsn };
  if (mode !== undefined && !MODES.includes(mode)) {
    throw new UnusableDsn(`its sslmode should be one of ${MODES.join(", ")}`);
  }
  const isDirect = given.get("sslnegotiation") === "direct";
  const ssl = mode === "disable"
    ? false
    : { ...filesOf(given), ...(mode === "no-verify" && { rejectUnauthorized: false }) };
  // What is left of them in the URL would overrule the option, and make pg print a warning of its own.
  for (const name of ["ssl", "sslmode", "sslnegotiation", ...Object.keys(FILES)]) given.delete(name);
  return { connectionString: url.href, ssl, ...(isDirect && { sslnegotiation: "direct" }) };
}

function filesOf(given: URLSearchParams): Readonly<Record<string, string>> {
  const read = Object.entries(FILES).flatMap(([name, option]) => {
    const path = given.get(name) ?? "";
    // As in libpq: the authorities that the runtime knows.
    if (path === "" || (name === "sslrootcert" && path === "system")) return [];
    return [[option, readFile(name, path)]];
  });
  return Object.fromEntries(read);
}

function readFile(name: string, path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (isDefect(error)) throw error;
    const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
    throw new UnusableDsn(`its ${name} names a file that can't be read${code}`);
  }
}

/** The TLS handshake failed, or PostgreSQL has no TLS to offer. */
export class TlsFailure extends Error {
  override readonly name = "TlsFailure";
  /** The cause's system code; empty where it has none. */
  readonly code: string;

  constructor(cause: Error) {
    super(
      `the TLS handshake failed: ${cause.message} ` +
        "(sslmode, sslrootcert, sslcert and sslkey in NOTIFICATION_POSTGRES_PRIMARY_DSN decide about it)",
      { cause },
    );
    this.code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  }
}

/** Follows the start of one connection. */
export class Handshake {
  #isUnderWay = false;

  constructor(connection: pg.Connection) {
    connection.once("sslconnect", () => this.#isUnderWay = true);
    // Not the end of the handshake on this side: with TLS 1.3 the server may refuse our certificate after it.
    for (const message of FIRST_MESSAGES) connection.once(message, () => this.#isUnderWay = false);
  }

  /** The error in words that name TLS, where that is what failed. */
  explain(error: Error): Error {
    return this.#isUnderWay || REFUSALS.has(error.message) ? new TlsFailure(error) : error;
  }
}

const FIRST_MESSAGES = [
  "authenticationOk",
  "authenticationCleartextPassword",
  "authenticationMD5Password",
  "authenticationSASL",
  "errorMessage",
];

/** pg's words for a server without TLS, and for one that answers neither yes nor no. */
const REFUSALS: ReadonlySet<string> = new Set([
  "The server does not support SSL connections",
  "There was an error establishing an SSL connection",
]);
