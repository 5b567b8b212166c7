/** What may stay unused for now: each `<file>: <message>` as `check.ts` prints it, without the line number. */

export const EXCEPTIONS: readonly string[] = [];
