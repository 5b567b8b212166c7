/** The words of a command → one line as redis-cli reads it from its standard input, whatever the words hold. */

export function commandLine(words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

/** In double quotes where it is needed, with redis-cli's escapes. */
function quoted(word: string): string {
  if (/^[A-Za-z0-9_.:/=@%+,*-]+$/.test(word)) return word;
  // deno-lint-ignore no-control-regex -- these are what a line can't hold
  const escaped = word.replace(/[\x00-\x1f\x7f"\\]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
}
