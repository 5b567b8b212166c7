/**
 * The text of a URL goes in, the checked URL comes out, or undefined if it is not of the form asked for.
 * Both may carry a password by intent or by mistake, so nothing here ever puts the text, or a part of it, in a message.
 */

const anyWhiteSpace = /[\s\p{Cc}]/u;

/**
 * A `postgres://` or `postgresql://` URL that names one host, as it was given. The host may stand in a `host` parameter
 * (a Unix socket). A password with `/`, `?`, `#` in it that isn't percent-encoded ends the authority early and would
 * show up as a host or port in errors, so a bare `@` behind the authority is refused, and so is a fragment.
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
 * An `http://` or `https://` URL to put a path behind, without its trailing slashes. A user or password is refused
 * because fetch refuses it too; any `@` is, because a badly encoded password may hide before it.
 */
export function parseBaseUrl(text: string): string | undefined {
  if (!/^https?:\/\/[^/]/i.test(text) || anyWhiteSpace.test(text) || /[@?#\\]/.test(text)) return undefined;
  const url = URL.parse(text);
  if (url === null || url.port === "0" || !isPercentEncoded(text)) return undefined;
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** Every `%` begins an escape and the escapes are UTF-8: the PostgreSQL client decodes user, password and database. */
function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false; // its one error, URIError, is the answer
  }
}
