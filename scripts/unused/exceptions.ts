// What may stay unused for now: each line `<file>: <message>` as check.ts prints it, without the number of the line.

export const EXCEPTIONS: readonly string[] = [
  // Used by what is being written: the tests of downloads, and the bounded waits of every folder.
  "scripts/servers/binaries.ts: No other file uses the export wantedPostgres",
  "scripts/servers/postgres_packages.ts: No other file uses the export POSTGRES_PACKAGES",
  "src/lifecycle/bounded_wait.ts: Only tests use the export withinOrThrow",
  "src/lifecycle/bounded_wait.ts: Nothing gives the option clock",
  // Dead: the waits for the lock always use the system's clock.
  "src/postgres/migrate.ts: Nothing gives the option clock",
];
