/** One table of a report, with what stands above it. */
export interface Section {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Charts that show it. */
  readonly charts: readonly string[];
}
