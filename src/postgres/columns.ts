/**
 * Many rows as a few text parameters, or as one row of a result: each column is one text, whose values are joined by a
 * separator; the other side splits the text at it.
 *
 * Escaping an array parameter element by element costs several microseconds per row, joining almost nothing. The
 * separator holds 64 random bits that never leave the process and its sessions, so that no producer can put it into a
 * value. An empty value means NULL; a column without rows is an empty array.
 */
export const SEPARATOR = `\x1f${crypto.getRandomValues(new BigUint64Array(1))[0]!.toString(36)}\x1f`;

/** The SQL types of the parameters of this service's statements. */
export type SqlType = "text" | "uuid" | "bigint" | "integer" | "timestamptz";

/**
 * A column of rows that a statement takes: its type, and a function that returns its value for a row; an empty text is
 * NULL.
 */
export interface Column<Row> {
  readonly type: SqlType;
  readonly valueOf: (row: Row) => string | number;
}

/** The columns of rows that a statement takes, by their names in SQL. */
export type Columns<Row> = Readonly<Record<string, Column<Row>>>;

/**
 * Declares the columns of rows that a statement takes: `rows<Intent>()({ producer: text((intent) => intent.producer)
 * })`.
 */
export function rows<Row>(): <const Declared extends Columns<Row>>(
  columns: Declared,
) => RowSet<Row, keyof Declared & string> {
  return (columns) => new RowSet(columns);
}

export const text = <Row>(valueOf: (row: Row) => string): Column<Row> => ({ type: "text", valueOf });
export const uuid = <Row>(valueOf: (row: Row) => string): Column<Row> => ({ type: "uuid", valueOf });
export const bigint = <Row>(valueOf: (row: Row) => string | number): Column<Row> => ({ type: "bigint", valueOf });
export const timestamptz = <Row>(valueOf: (row: Row) => string): Column<Row> => ({ type: "timestamptz", valueOf });

/** Declared columns: the text of the SQL and the parameters come from the same declaration. */
export class RowSet<in Row, out Name extends string> {
  readonly #columns: readonly (readonly [Name, Column<Row>])[];

  constructor(columns: Columns<Row>) {
    this.#columns = Object.entries(columns) as [Name, Column<Row>][];
  }

  get names(): readonly Name[] {
    return this.#columns.map(([name]) => name);
  }

  /** An item of FROM: the rows under `alias`, with all columns or only those named. */
  from(alias: string, only: readonly Name[], parameterOf: (column: Name) => string): string {
    const columns = this.#columns.filter(([name]) => only.length === 0 || only.includes(name));
    const arrays = columns.map(([name, { type }]) => {
      const array = `string_to_array(${parameterOf(name)}, $1, '')`;
      return type === "text" ? array : `${array}::${type}[]`;
    });
    return `unnest(\n    ${arrays.join(",\n    ")}\n  ) AS ${alias} (${columns.map(([name]) => name).join(", ")})`;
  }

  /** One parameter for each column, in the order of {@link names}. */
  parametersOf(items: readonly Row[]): string[] {
    return this.#columns.map(([, { valueOf }]) => {
      const values: (string | number)[] = new Array(items.length);
      for (let at = 0; at < items.length; at++) values[at] = valueOf(items[at]!);
      return values.join(SEPARATOR);
    });
  }
}

/** A column of rows that a statement returns: the expression in SQL, and the conversion of its text. */
interface ReturnedColumn<Value> {
  readonly sql: string;
  readonly read: (text: string) => Value;
}

/** A returned text; NULL comes as an empty one. */
export const returnedText = (sql: string): ReturnedColumn<string> => ({ sql, read: (value) => value });
/** A returned number that fits a double. */
export const returnedNumber = (sql: string): ReturnedColumn<number> => ({ sql, read: Number });

type Returned<Declared> = {
  readonly [Name in keyof Declared]: Declared[Name] extends ReturnedColumn<infer Value> ? Value : never;
};

/** One row of a result that holds all rows packed. */
export type PackedRow = Readonly<Record<string, string | number | null>> & { readonly row_count: number };

/** Declares the rows that a statement returns, packed into one row of its result: property name → expression in SQL. */
export function packed<const Declared extends Readonly<Record<string, ReturnedColumn<unknown>>>>(columns: Declared) {
  const entries = Object.entries(columns);
  return {
    /** Items of a SELECT list over the rows to return: their number, and each column. */
    list: [
      "count(*)::int AS row_count",
      ...entries.map(([name, { sql }]) => (
        `string_agg(coalesce((${sql})::text, ''), $1) AS "${name}"`
      )),
    ].join(",\n    "),

    /** Unpacks the rows. */
    unpack(row: PackedRow): Returned<Declared>[] {
      const unpacked: Record<string, unknown>[] = Array.from({ length: row.row_count }, () => ({}));
      for (const [name, { read }] of entries) {
        if (row.row_count === 0) break;
        const values = String(row[name] ?? "").split(SEPARATOR);
        for (let at = 0; at < unpacked.length; at++) unpacked[at]![name] = read(values[at]!);
      }
      return unpacked as Returned<Declared>[];
    },
  };
}
