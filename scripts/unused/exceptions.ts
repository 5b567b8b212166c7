// What may stay unused for now: each line `<file>: <message>` as check.ts prints it, without the number of the line.

export const EXCEPTIONS: readonly string[] = [
  // service.ts still adds the times up by itself.
  "src/lifecycle/heartbeats.ts: Only tests use the export stuckAfterMs",
];
