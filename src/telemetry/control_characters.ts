/**
 * Text from outside → the same without characters that a terminal or an editor would obey: control characters (C0, C1), those
 * that reverse the direction of text or are not seen, line and paragraph separators, lone surrogates.
 */

const OBEYED = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
/** A first look that is fast: nothing else can hold one that JSON leaves as it is. */
const BEYOND_ASCII = /[\x7f-\uffff]/;

export function escapeControls(text: string): string {
  return text.replace(OBEYED, escaped);
}

/** Of a text in JSON, which means the same afterwards. JSON itself has escaped C0; line breaks between its values stay. */
export function escapeControlsInJson(json: string): string {
  return BEYOND_ASCII.test(json) ? json.replace(/[\x7f-\x9f\p{Cf}\u2028\u2029]/gu, escaped) : json;
}

/** One `\uXXXX` for each UTF-16 unit, as JSON has it. */
function escaped(character: string): string {
  let units = "";
  for (let at = 0; at < character.length; at++) {
    units += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return units;
}
