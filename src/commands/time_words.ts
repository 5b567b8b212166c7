/** Times and durations → readable words. Pure; the current time is an argument. */

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
];

/** `0 ms`, `340 ms`, `12 s`, `3 min 5 s`, `2 d 4 h`: at most two units, rounded down. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const first = UNITS.findIndex(([, size]) => milliseconds >= size);
  const [name, size] = UNITS[first]!;
  const words = `${Math.floor(milliseconds / size)} ${name}`;
  const next = UNITS[first + 1];
  const rest = next === undefined ? 0 : Math.floor((milliseconds % size) / next[1]);
  return rest === 0 ? words : `${words} ${rest} ${next![0]}`;
}

/** `3 min ago`, `in 12 s`, `just now`. */
export function relative(time: Date, nowMs: number): string {
  const agoMs = nowMs - time.getTime();
  if (Math.abs(agoMs) < 1000) return "just now";
  return agoMs > 0 ? `${largestUnit(agoMs)} ago` : `in ${largestUnit(-agoMs)}`;
}

function largestUnit(milliseconds: number): string {
  const [name, size] = UNITS.find(([, size]) => milliseconds >= size)!;
  return `${Math.floor(milliseconds / size)} ${name}`;
}
