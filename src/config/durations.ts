/**
 * A duration in Go's syntax (`250ms`, `5s`, `1.5s`, `1h30m`, `0s`) → whole milliseconds, or `undefined` if the text is
 * no duration or not a whole number of milliseconds. Pure.
 *
 * The arithmetic is exact; nothing is rounded. Signs are not accepted, since no setting can be negative.
 */

const nanosecondsOf: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n, // micro sign
  "\u03bcs": 1_000n, // Greek mu
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g;
const whole = new RegExp(`^(?:${part.source})+$`);

/** Far above any sensible duration; bounds the arithmetic below. */
const maxTextChars = 64;

/** Milliseconds of a duration, 0 to Number.MAX_SAFE_INTEGER. Syntax: https://pkg.go.dev/time#ParseDuration */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0; // Go's one duration without a unit
  if (text.length > maxTextChars || !whole.test(text)) return undefined;

  let total = 0n;
  for (const [, amount = "", unit = ""] of text.matchAll(part)) {
    const [integer = "", fraction = ""] = amount.split(".");
    const scaled = BigInt(integer + fraction) * (nanosecondsOf[unit] ?? 0n);
    const scale = 10n ** BigInt(fraction.length);
    if (scaled % scale !== 0n) return undefined;
    total += scaled / scale;
  }
  if (total % 1_000_000n !== 0n) return undefined;

  const milliseconds = total / 1_000_000n;
  return milliseconds <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(milliseconds) : undefined;
}
