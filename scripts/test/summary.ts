/**
 * The output and exit code of each run of `deno test` → one line for all runs: `N passed, N failed`, the number of
 * ignored tests if there are any, and the time. Pure.
 *
 * It is `0 failed` only if every exit code is 0: a run that fails without a failed test counts as one failure.
 */
import { stripVTControlCharacters } from "node:util";

export interface Ran {
  readonly code: number;
  readonly text: string;
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
}

/** Returns `undefined` if no run printed its sums, for example with `--help`. */
export function summary(runs: readonly Ran[], durationMs: number): string | undefined {
  const all = runs.map(countsOf);
  if (all.every((counts) => counts === undefined) && runs.every(({ code }) => code === 0)) return undefined;
  const passed = all.reduce((sum, counts) => sum + (counts?.passed ?? 0), 0);
  const failed = all.reduce((sum, counts, at) => sum + failures(counts, runs[at]!.code), 0);
  const ignored = all.reduce((sum, counts) => sum + (counts?.ignored ?? 0), 0);
  return `${passed} passed, ${failed} failed${ignored === 0 ? "" : `, ${ignored} ignored`} (${inWords(durationMs)})`;
}

/** Reads the last line of the form `ok | 3 passed (2 steps) | 0 failed (5ms)`, because tests may print anything. */
function countsOf({ text }: Ran): Counts | undefined {
  const found = [
    ...stripVTControlCharacters(text).matchAll(
      /^(?:ok|FAILED) \| (\d+) passed\b.*? \| (\d+) failed\b(?:.*? \| (\d+) ignored\b)?/gm,
    ),
  ].at(-1);
  if (found === undefined) return undefined;
  return { passed: Number(found[1]), failed: Number(found[2]), ignored: Number(found[3] ?? 0) };
}

function failures(counts: Counts | undefined, code: number): number {
  const failed = counts?.failed ?? 0;
  return code !== 0 && failed === 0 ? 1 : failed;
}

function inWords(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
}
