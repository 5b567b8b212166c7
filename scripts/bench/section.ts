/** The type of a section of the report: a table with its title and a note on its figures. */

export interface Section {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Charts of the table, as Mermaid text. */
  readonly charts: readonly string[];
}
