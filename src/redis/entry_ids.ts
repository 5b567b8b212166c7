/** The order of stream entry ids, which are pairs of unsigned 64-bit numbers, too large for JavaScript's numbers. */

export const BEFORE_ALL = "0-0";

/** Below 0 if `left` comes first, 0 if they are the same, above 0 otherwise. */
export function compareEntryIds(left: string, right: string): number {
  const dash = left.indexOf("-");
  const otherDash = right.indexOf("-");
  if (dash !== otherDash) return dash - otherDash;
  if (left.length === right.length) return compareNumerals(left, right);
  return compareNumerals(left.slice(0, dash), right.slice(0, dash)) || left.length - right.length;
}

export function isAtOrBefore(entryId: string, other: string): boolean {
  return compareEntryIds(entryId, other) <= 0;
}

/** The later of two. */
export function laterEntryId(left: string, right: string): string {
  return compareEntryIds(left, right) < 0 ? right : left;
}

const LARGEST = String(2n ** 64n - 1n);

/** Whether `text` is an id as Redis writes it. */
export function isEntryId(text: string): boolean {
  if (!/^(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})$/.test(text)) return false;
  return text.split("-").every((numeral) => compareNumerals(numeral, LARGEST) <= 0);
}

/** Decimal numerals without leading zeros: the longer is the larger. */
function compareNumerals(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}
