/** The text of `--since` → a time. */
import { systemClock } from "../clock.ts";
import { parseDuration } from "../config/durations.ts";
import { usageError } from "./command.ts";

const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

/** @throws CommandFailed if it is neither a duration nor a time */
export function sinceOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  // Date.parse() alone would read "5" as a month, and a time without a zone in this machine's zone.
  const time = milliseconds !== undefined
    ? systemClock.now() - milliseconds
    : ISO_8601.test(text)
    ? Date.parse(text)
    : NaN;
  if (Number.isNaN(time) || !(time >= 0)) {
    throw usageError(
      `--since ${JSON.stringify(text)} is neither a duration such as 90m nor a time such as 2026-01-31T12:00:00Z`,
    );
  }
  return new Date(time);
}
