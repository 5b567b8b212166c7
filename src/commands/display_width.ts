/**
 * Text → how many columns of a terminal it takes, and how much of it fits. East Asian wide characters and emoji take
 * two columns, combining characters none. Pure.
 */
import { eastAsianWidth } from "get-east-asian-width";

const GRAPHEMES = new Intl.Segmenter("und", { granularity: "grapheme" });

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
  return EMOJI.test(grapheme) ? 2 : eastAsianWidth(grapheme.codePointAt(0)!);
}
