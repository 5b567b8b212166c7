/**
 * Any text → text that a PostgreSQL column can store: NUL, which PostgreSQL refuses, becomes U+FFFD, and at most
 * `maxCodePoints` code points are kept. A surrogate pair is never cut in half.
 */
export function storable(text: string, maxCodePoints: number): string {
  const clean = text.replaceAll("\0", "\ufffd");
  if (clean.length <= maxCodePoints) return clean;
  // A code point has one or two UTF-16 units, so only this part of a long text has to be split.
  return [...clean.slice(0, 2 * maxCodePoints)].slice(0, maxCodePoints).join("");
}
