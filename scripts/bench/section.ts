/** A table of the report, with its title and what it shows. */

export interface Section {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Charts that show it, as Mermaid's text. */
  readonly charts: readonly string[];
}
