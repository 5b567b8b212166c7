/**
 * Any text → text without characters that control a terminal or change how the text around them is shown.
 *
 * Those are the control characters (C0, DEL, C1), the line and paragraph separators, the format characters (which
 * reverse the writing direction, or are invisible) and lone surrogates. Each UTF-16 unit becomes JSON's escape for it,
 * such as `\u001b`.
 */
const CONTROL = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;
const EACH_CONTROL = new RegExp(CONTROL, "gu");
/** In JSON text all others are already escaped, or are line breaks of its layout. */
const EACH_LEFT_BY_JSON = /[\x7f-\x9f\p{Cf}\u2028\u2029]/gu;

/** A fast first test: only text with these characters can contain one that JSON does not escape. */
const BEYOND_ASCII = /[\x7f-\uffff]/;

export function hasControls(text: string): boolean {
  return CONTROL.test(text);
}

export function escapeControls(text: string): string {
  return text.replace(EACH_CONTROL, escaped);
}

/** Like `JSON.stringify`: the text parses to the same value. */
export function printableJson(value: unknown, { indent = 0 }: { readonly indent?: number } = {}): string {
  const json = JSON.stringify(value, null, indent);
  return BEYOND_ASCII.test(json) ? json.replace(EACH_LEFT_BY_JSON, escaped) : json;
}

function escaped(character: string): string {
  let text = "";
  for (let at = 0; at < character.length; at++) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return text;
}
