/** The error of `fetch` → why the User Service can't be reached, without the URL, which names a user. Pure. */

/** @param error its causes count too: some versions of Deno keep the reason there */
export function reasonOf(error: unknown): string {
  const detail = detailOf(error);
  if (detail === undefined) return "it can't be reached";
  if (!NAMES_TLS.test(detail)) return `it can't be reached: ${detail}`;
  return `the TLS handshake failed: ${detail}; DENO_CERT names an authority to trust: docs/deployment.md, TLS`;
}

/** Whether the TLS handshake failed. */
export function isAboutTls(error: unknown): boolean {
  return NAMES_TLS.test(detailOf(error) ?? "");
}

const NAMES_TLS = /certificate|\btls\b|\bssl\b|handshake|fatal alert|corrupt message|InvalidContentType/i;

/** The text after Deno's `error sending request for url (…): client error (Connect): `. */
function detailOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const detail = /^.*: client error \(\w+\): ([^]*)$/.exec(error.message)?.[1];
  return detail?.replace(/\s+/g, " ").slice(0, MAX_DETAIL) ?? detailOf(error.cause);
}

const MAX_DETAIL = 200;
