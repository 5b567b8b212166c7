/** Text that PostgreSQL can hold: NUL replaced, at most so many code points. Pure. */
export function storable(text: string, maxCharacters: number): string {
  const clean = text.replaceAll("\0", "\ufffd");
  return clean.length <= maxCharacters
    ? clean
    : [...clean.slice(0, 2 * maxCharacters)].slice(0, maxCharacters).join("");
}
