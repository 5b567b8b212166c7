/** A list that `inspect` shows: its rows as JSON, or as lines for people. Reads only. */
import type pg from "pg";
import { print, printError, printJsonList } from "./command.ts";
import { deadLetterLines, leftOut, malformedLines, routeLines } from "./inspect_lines.ts";
import {
  type Filters,
  findDeadLetters,
  findMalformedRows,
  findRouteRows,
  type Found,
  type MalformedRow,
} from "./inspect_rows.ts";

export interface ListOptions {
  readonly filters: Filters;
  readonly stream: string;
  readonly nowMs: number;
  readonly asJson: boolean;
}

export async function listMalformed(postgres: pg.Pool, options: ListOptions): Promise<void> {
  const found = await findMalformedRows(postgres, options);
  await show("malformed", found, {
    asJson: options.asJson,
    lines: () => malformedLines(found.rows, options.nowMs),
    whole: (rows) => withRawFields(postgres, rows),
  });
}

export async function listDeadLetters(postgres: pg.Pool, options: ListOptions): Promise<void> {
  const found = await findDeadLetters(postgres, options);
  await show("dead_letters", found, {
    asJson: options.asJson,
    lines: () => deadLetterLines(found.rows, options.nowMs),
  });
}

export async function listRoutes(postgres: pg.Pool, options: ListOptions): Promise<void> {
  const found = await findRouteRows(postgres, options);
  await show("routes", found, { asJson: options.asJson, lines: () => routeLines(found.rows, options.nowMs) });
}

async function show<Row>(
  name: string,
  found: Found<Row>,
  { asJson, lines, whole = each }: {
    readonly asJson: boolean;
    readonly lines: () => readonly string[];
    /** The rows with what a table does not show. */
    readonly whole?: (rows: readonly Row[]) => AsyncIterable<object>;
  },
): Promise<void> {
  const note = leftOut(found);
  if (note !== undefined) printError(note);
  if (asJson) await printJsonList(name, whole(found.rows));
  else print(found.rows.length === 0 ? ["  none"] : lines());
}

async function* each(rows: readonly unknown[]): AsyncGenerator<object> {
  for (const row of rows) yield row as object;
}

/** One at a time: a row's fields may be 4 MiB. One that retention has deleted meanwhile is left out. */
async function* withRawFields(postgres: pg.Pool, rows: readonly MalformedRow[]): AsyncGenerator<object> {
  for (const { recorded_at, ...row } of rows) {
    const { rows: [fields] } = await postgres.query<{ raw_fields: unknown }>({
      name: "raw_fields",
      text: "SELECT raw_fields FROM notification.malformed_intents WHERE stream = $1 AND stream_entry_id = $2",
      values: [row.stream, row.stream_entry_id],
    });
    if (fields !== undefined) yield { ...row, raw_fields: fields.raw_fields, recorded_at };
  }
}
