/**
 * A DSN's `ssl…` parameters → pg's options for TLS. The certificates' files are read for each connection, so that a
 * replaced certificate is used.
 *
 *     none of them             no TLS (pg's own rule, which PGSSLMODE can change)
 *     sslmode=disable          no TLS
 *     sslmode=no-verify        TLS; any certificate of the server is accepted
 *     any other sslmode        TLS; the certificate must be signed by a known authority for the DSN's host
 *
 * With `uselibpqcompat=true` pg reads the DSN itself and gives `sslmode` the meanings of libpq.
 */
// @ts-types="@types/pg"
import type pg from "pg";
import { isDefect } from "../lifecycle/defects.ts";

const VERIFYING = ["prefer", "require", "verify-ca", "verify-full"] as const;
const MODES = ["disable", "no-verify", ...VERIFYING];

/** The names of the TLS options in the DSN and in pg. */
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
  // Parameters left in the URL would override the options, and pg would print a warning of its own.
  for (const name of ["ssl", "sslmode", "sslnegotiation", ...Object.keys(FILES)]) given.delete(name);
  return { connectionString: url.href, ssl, ...(isDirect && { sslnegotiation: "direct" }) };
}

function filesOf(given: URLSearchParams): Readonly<Record<string, string>> {
  const read = Object.entries(FILES).flatMap(([name, option]) => {
    const path = given.get(name) ?? "";
    // As in libpq, this means the authorities that the runtime trusts.
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

/** The TLS handshake failed, or PostgreSQL does not offer TLS. */
export class TlsFailure extends Error {
  override readonly name = "TlsFailure";
  /** The cause's system code; empty if it has none. */
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
    // The end of the handshake on this side is too early: with TLS 1.3 the server may still refuse our certificate.
    for (const message of FIRST_MESSAGES) connection.once(message, () => this.#isUnderWay = false);
  }

  /** Returns an error that names TLS if the handshake failed, otherwise the same error. */
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

/** pg's messages for a server without TLS, and for one that gives an invalid answer. */
const REFUSALS: ReadonlySet<string> = new Set([
  "The server does not support SSL connections",
  "There was an error establishing an SSL connection",
]);
