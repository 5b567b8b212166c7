/**
 * Any text → text without characters that a terminal obeys or that change how the text around them is shown.
 *
 * Those are the control characters (C0, DEL, C1), the line and paragraph separators, the format characters (which turn the
 * writing direction around, or can't be seen) and lone surrogates. Each becomes JSON's escape for it, `\u001b`, one for each
 * UTF-16 unit.
 */
const CONTROL = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;
const EACH_CONTROL = new RegExp(CONTROL, "gu");
/** In JSON text the others are escapes already, or the line breaks of its layout. */
const EACH_LEFT_BY_JSON = /[\x7f-\x9f\p{Cf}\u2028\u2029]/gu;

/** A first look that is fast: no other text holds one that JSON leaves as it is. */
const BEYOND_ASCII = /[\x7f-\uffff]/;

export function hasControls(text: string): boolean {
  return CONTROL.test(text);
}

export function escapeControls(text: string): string {
  return text.replace(EACH_CONTROL, escaped);
}

/** As `JSON.stringify`, whose text is the same value when it is parsed. */
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
