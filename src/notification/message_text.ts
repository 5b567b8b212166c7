/** Producers' texts → their length, and the part that fits into a message. Pure. */

const MAX_MESSAGE_UNITS = 500;

/** Code points. */
export function longerThan(text: string, characters: number): boolean {
  if (text.length <= characters) return false;
  if (text.length > 2 * characters) return true;
  let points = 0;
  for (const _ of text) points++;
  return points > characters;
}

/** Bytes of UTF-8. */
export function longerThanBytes(text: string, bytes: number): boolean {
  if (text.length > bytes) return true;
  return text.length * 3 > bytes && new TextEncoder().encode(text).length > bytes;
}

/** A value in a message: short enough to read, and without line breaks. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80).toWellFormed()}…` : value);
}

/** Messages about schemas and of V8 may repeat much of the payload, and end in the middle of a character. */
export function shortened(message: string): string {
  return (message.length > MAX_MESSAGE_UNITS ? `${message.slice(0, MAX_MESSAGE_UNITS - 1)}…` : message).toWellFormed();
}

/** The kind of a JSON value, for a message. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
