/**
 * A producer's or server's JSON text → its value, or why it is refused.
 *
 * Stricter than `JSON.parse`, like PostgreSQL and the readers of the outbound streams: no `\u0000`, no lone surrogate,
 * no nesting deeper than 100. Never throws, even for megabytes of `[`.
 */

export const MAX_JSON_DEPTH = 100;

export type JsonText =
  | { readonly kind: "ok"; readonly value: unknown }
  | { readonly kind: "refused"; readonly message: string };

export function parseJsonText(text: string): JsonText {
  // A nesting of 101 needs at least 202 characters, so most texts need no scan.
  if (text.length > 2 * MAX_JSON_DEPTH && nestsTooDeep(text)) {
    return { kind: "refused", message: `is nested deeper than ${MAX_JSON_DEPTH} levels` };
  }
  if (text.includes("\\u")) {
    const message = refusedEscape(text);
    if (message !== undefined) return { kind: "refused", message };
  }
  try {
    return { kind: "ok", value: JSON.parse(text) };
  } catch (error) {
    return { kind: "refused", message: `is not JSON: ${(error as Error).message}` };
  }
}

function nestsTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c /* \ */) at++;
      else if (code === 0x22 /* " */) inString = false;
    } else if (code === 0x22) {
      inString = true;
    } else if (code === 0x5b /* [ */ || code === 0x7b /* { */) {
      if (++depth > MAX_JSON_DEPTH) return true;
    } else if (code === 0x5d /* ] */ || code === 0x7d /* } */) {
      depth--;
    }
  }
  return false;
}

/** Every backslash starts an escape of one or of five characters; a high surrogate must be followed by a low one. */
function refusedEscape(text: string): string | undefined {
  let pendingHigh = -1;
  for (const match of text.matchAll(/\\(?:u([0-9a-fA-F]{4})|[^u]|u)/g)) {
    const code = match[1] === undefined ? -1 : parseInt(match[1], 16);
    if (code === 0) return "contains \\u0000";
    const low = code >= 0xdc00 && code <= 0xdfff;
    if (pendingHigh >= 0 && !(low && match.index === pendingHigh)) return "contains a lone surrogate";
    if (pendingHigh < 0 && low) return "contains a lone surrogate";
    pendingHigh = code >= 0xd800 && code <= 0xdbff ? match.index + 6 : -1;
  }
  return pendingHigh >= 0 ? "contains a lone surrogate" : undefined;
}
