/**
 * Text → how many columns of a terminal it takes, and how much of it fits. East Asian wide characters and emoji take
 * two columns, combining characters none. Pure.
 */

const GRAPHEMES = new Intl.Segmenter("und", { granularity: "grapheme" });

/** Blocks whose characters are W or F in Unicode's EastAsianWidth.txt (16.0). */
const WIDE =
  /[\u1100-\u115f\u231a\u231b\u2329\u232a\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2fb}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u;
const EMOJI = /\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f/u;
const COMBINING = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;
const ASCII = /^[\x20-\x7e]*$/;

export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let columns = 0;
  for (const { segment } of GRAPHEMES.segment(text)) columns += widthOf(segment);
  return columns;
}

/**
 * The longest beginning of the text that takes at most `columns`; at least one character, so that a caller's loop ends.
 */
export function fitting(text: string, columns: number): string {
  if (ASCII.test(text)) return text.slice(0, Math.max(1, columns));
  let taken = 0;
  let end = 0;
  for (const { segment, index } of GRAPHEMES.segment(text)) {
    taken += widthOf(segment);
    if (taken > columns && end > 0) break;
    end = index + segment.length;
  }
  return text.slice(0, end);
}

function widthOf(grapheme: string): number {
  if (COMBINING.test(grapheme)) return 0;
  return WIDE.test(grapheme) || EMOJI.test(grapheme) ? 2 : 1;
}
