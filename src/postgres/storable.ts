/**
 * Any text → text that a PostgreSQL column can hold: NUL, which PostgreSQL refuses, becomes U+FFFD, and no more than
 * `maxCodePoints` are kept. Half of a surrogate pair is never left over.
 */
export function storable(text: string, maxCodePoints: number): string {
  const clean = text.replaceAll("\0", "\ufffd");
  if (clean.length <= maxCodePoints) return clean;
  // A code point has one or two UTF-16 units: of a long text no more is split than may be kept.
  return [...clean.slice(0, 2 * maxCodePoints)].slice(0, maxCodePoints).join("");
}
