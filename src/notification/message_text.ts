/** Texts from outside → how long they are, and as much of them as fits into a message. Pure. */

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

/** What zod and V8 say may repeat much of the payload, and end in the middle of a character. */
export function shortened(message: string): string {
  return (message.length > MAX_MESSAGE_UNITS ? `${message.slice(0, MAX_MESSAGE_UNITS - 1)}…` : message).toWellFormed();
}

/** What a JSON value is that should have been something else. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
