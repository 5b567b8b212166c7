// A table of the report, before it is written for a terminal or for docs/benchmarks.md.

export interface Section {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Charts that show it. */
  readonly charts: readonly string[];
}
