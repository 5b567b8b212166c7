/** The words of a command → one line that redis-cli reads from its standard input, whatever the words contain. */

import { hasControls } from "../notification/control_characters.ts";

export function commandLine(words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

/**
 * In double quotes if needed, with redis-cli's escapes (one for each byte): one printable line, whatever the word
 * contains.
 */
function quoted(word: string): string {
  if (/^[A-Za-z0-9_.:/=@%+,*-]+$/.test(word)) return word;
  let escaped = "";
  for (const character of word) {
    escaped += character === '"' || character === "\\" || hasControls(character) ? bytesOf(character) : character;
  }
  return `"${escaped}"`;
}

function bytesOf(character: string): string {
  return [...new TextEncoder().encode(character)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
