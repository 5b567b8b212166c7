/**
 * What may stay unused for now: each line `<file>: <message>` as check.ts prints it, without the number of the line.
 */

export const EXCEPTIONS: readonly string[] = [];
