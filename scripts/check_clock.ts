/**
 * A file's path and source → every line that uses the system's time or randomness without src/clock.ts.
 *
 * Comments are not checked. Tests are not checked either, because they may use the system's clock.
 */

export interface Breach {
  readonly line: number;
  readonly message: string;
}

/** A `Date` made from a given time is allowed. */
const USE = new RegExp(
  [
    String.raw`\bDate\.now\b|\bnew Date(?:\(\s*\)|(?![\w(]))|(?<!new |[\w.])Date\(|\bTemporal\.Now\b`,
    String.raw`\bperformance\.(?:now|timeOrigin)\b|\bprocess\.(?:hrtime|uptime)\b|\bDeno\.osUptime\b`,
    String.raw`\b(?:set|clear)(?:Timeout|Interval|Immediate)\b|\bAbortSignal\.timeout\b`,
    String.raw`\bnode:(?:timers|perf_hooks)\b|\bMath\.random\b`,
  ].join("|"),
);

/** `file` is relative to the project, e.g. `src/intake/accept.ts`. */
export function checkClock(file: string, source: string): Breach[] {
  if (file === "src/clock.ts" || file.endsWith("_test.ts")) return [];
  return source.split("\n").flatMap((text, index) => {
    const found = USE.exec(text.replace(/(^|\s)\/\/.*|^\s*(\*|\/\*).*/, ""));
    return found === null ? [] : [{ line: index + 1, message: `${found[0]} outside src/clock.ts` }];
  });
}
