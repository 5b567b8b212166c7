/**
 * A DSN's `ssl…` parameters → pg's options for TLS. The certificates' files are read for each connection, so that a
 * replaced certificate is used.
 *
 *     none of them             no TLS (pg's own rule, which PGSSLMODE can change)
 *     sslmode=disable          no TLS
 *     sslmode=no-verify        TLS; any certificate of the server is accepted
 *     any other sslmode        TLS; the certificate must be signed by a known authority for the DSN's host
 *
 * With `uselibpqcompat=true` pg reads the DSN itself and gives `sslmode` the meanings of libpq. What pg would refuse
 * without naming the parameter is refused here.
 */
// @ts-types="@types/pg"
import type pg from "pg";
import { isDefect } from "../lifecycle/defects.ts";

const VERIFYING = ["prefer", "require", "verify-ca", "verify-full"] as const;
const MODES = ["disable", "no-verify", ...VERIFYING];
const NEGOTIATIONS = ["postgres", "direct"];

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
  const isDirect = negotiationOf(given) === "direct";
  const hasFiles = Object.keys(FILES).some((name) => given.get(name));
  const isAsLibpq = given.get("uselibpqcompat") === "true";
  if (isAsLibpq) checkAsLibpq(given);
  if (isAsLibpq || (mode === undefined && !hasFiles)) return { connectionString: dsn };
  if (mode !== undefined && !MODES.includes(mode)) {
    throw new UnusableDsn(`its sslmode should be one of ${MODES.join(", ")}`);
  }
  const ssl = mode === "disable"
    ? false
    : { ...filesOf(given), ...(mode === "no-verify" && { rejectUnauthorized: false }) };
  // Parameters left in the URL would override the options, and pg would print a warning of its own.
  for (const name of ["ssl", "sslmode", "sslnegotiation", ...Object.keys(FILES)]) given.delete(name);
  return { connectionString: url.href, ssl, ...(isDirect && { sslnegotiation: "direct" }) };
}

/** @throws UnusableDsn */
function negotiationOf(given: URLSearchParams): string {
  const negotiation = given.get("sslnegotiation") || "postgres";
  if (!NEGOTIATIONS.includes(negotiation)) {
    throw new UnusableDsn(`its sslnegotiation should be one of ${NEGOTIATIONS.join(", ")}`);
  }
  if (negotiation === "direct" && given.get("sslmode") === "disable") {
    throw new UnusableDsn("its sslnegotiation=direct needs TLS, which its sslmode=disable turns off");
  }
  return negotiation;
}

/** @throws UnusableDsn */
function checkAsLibpq(given: URLSearchParams): void {
  for (const name of Object.keys(FILES)) {
    const path = given.get(name);
    if (path) readFile(name, path);
  }
  if (given.get("sslmode") === "verify-ca" && !given.get("sslrootcert")) {
    throw new UnusableDsn("its sslmode=verify-ca needs an sslrootcert");
  }
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

  constructor(cause: Error, { isDirect }: { readonly isDirect: boolean }) {
    super(
      `the TLS handshake failed: ${cause.message} ` +
        "(sslmode, sslrootcert, sslcert and sslkey in NOTIFICATION_POSTGRES_PRIMARY_DSN decide about it" +
        `${isDirect ? "; its sslnegotiation=direct needs PostgreSQL 17 or newer" : ""})`,
      { cause },
    );
    this.code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  }
}

/** Follows the start of one connection. */
export class Handshake {
  #isUnderWay = false;
  /** Whether TLS begins with the first byte. */
  readonly #isDirect: boolean;

  constructor(connection: pg.Connection) {
    this.#isDirect = "sslNegotiation" in connection && connection.sslNegotiation === "direct";
    connection.once("sslconnect", () => this.#isUnderWay = true);
    // The end of the handshake on this side is too early: with TLS 1.3 the server may still refuse our certificate.
    for (const message of FIRST_MESSAGES) connection.once(message, () => this.#isUnderWay = false);
  }

  /** Returns an error that names TLS if the handshake failed, otherwise the same error. */
  explain(error: Error): Error {
    const isTls = this.#isUnderWay || REFUSALS.has(error.message);
    return isTls ? new TlsFailure(error, { isDirect: this.#isDirect }) : error;
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
