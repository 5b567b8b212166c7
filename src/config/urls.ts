/**
 * The text of a URL → the checked URL, or `undefined` if it is not of the expected form. Pure.
 *
 * A URL may contain a password, on purpose or by mistake, so no message contains the text or a part of it.
 */

const anyWhiteSpace = /[\s\p{Cc}]/u;

/**
 * A `postgres://` or `postgresql://` URL with one host, unchanged. The host may be in a `host` parameter (a Unix
 * socket). If a password contains `/`, `?` or `#` without percent-encoding, the authority ends there, and errors would
 * show parts of the password as host or port. So a bare `@` after the authority is refused, and so is a fragment.
 */
export function parsePostgresUrl(text: string): string | undefined {
  if (!/^postgres(?:ql)?:\/\//i.test(text) || anyWhiteSpace.test(text) || text.includes("#")) return undefined;
  const url = URL.parse(text);
  if (url === null || url.port === "0" || !isPercentEncoded(text)) return undefined;
  if (url.pathname.includes("@") || url.search.includes("@")) return undefined;
  const host = url.searchParams.get("host") || url.hostname;
  return host === "" || host.includes(",") ? undefined : text;
}

/**
 * An `http://` or `https://` URL to which a path can be added, without its trailing slashes. A user or password is
 * refused because fetch refuses it too; any `@` is refused because a badly encoded password may precede it.
 */
export function parseBaseUrl(text: string): string | undefined {
  if (!/^https?:\/\/[^/]/i.test(text) || anyWhiteSpace.test(text) || /[@?#\\]/.test(text)) return undefined;
  const url = URL.parse(text);
  if (url === null || url.port === "0" || !isPercentEncoded(text)) return undefined;
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** Whether every `%` begins an escape of UTF-8: the PostgreSQL client decodes user, password and database. */
function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false; // URIError, the only error that is thrown here
  }
}
