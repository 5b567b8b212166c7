/** A list that `inspect` shows: its rows as JSON, or as readable lines. Only reads. */
import type pg from "pg";
import { rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { print, printError, printJsonList } from "./command.ts";
import { deadLetterLines, leftOut, malformedLines, repairLines, routeLines } from "./inspect_lines.ts";
import {
  type Filters,
  findDeadLetters,
  findMalformedRows,
  findRepairRows,
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

export async function listRepairs(postgres: pg.Pool, options: ListOptions): Promise<void> {
  const found = await findRepairRows(postgres, options);
  await show("repairs", found, { asJson: options.asJson, lines: () => repairLines(found.rows, options.nowMs) });
}

async function show<Row>(
  name: string,
  found: Found<Row>,
  { asJson, lines, whole = each }: {
    readonly asJson: boolean;
    readonly lines: () => readonly string[];
    /** The rows with the columns that the table does not show. */
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

/** The size in PostgreSQL, which compresses them up to a hundredfold: a few kilobytes there may be 4 MiB here. */
const MAX_KEPT_BYTES = 32 * 1024;
const MAX_ROWS = 64;

const ENTRIES = rows<MalformedRow>()({
  stream: text(({ stream }) => stream),
  entry_id: text(({ stream_entry_id }) => stream_entry_id),
});

const RAW_FIELDS = statement({ name: "raw_fields", takes: { entry: ENTRIES } }, (p) => `
SELECT stream, stream_entry_id, raw_fields
FROM notification.malformed_intents
WHERE (stream, stream_entry_id) IN (SELECT entry.stream, entry.entry_id FROM ${p.entry()})`);

/** Reads only as many rows at a time as are small together. A row that retention has deleted meanwhile is left out. */
async function* withRawFields(postgres: pg.Pool, rows: readonly MalformedRow[]): AsyncGenerator<object> {
  for (const some of portions(rows)) {
    const { rows: kept } = await postgres.query<{ stream: string; stream_entry_id: string; raw_fields: unknown }>(
      RAW_FIELDS({ entry: some }),
    );
    const byEntry = new Map(kept.map((row) => [`${row.stream}\0${row.stream_entry_id}`, row.raw_fields]));
    for (const { recorded_at, kept_bytes: _, ...row } of some) {
      const raw_fields = byEntry.get(`${row.stream}\0${row.stream_entry_id}`);
      if (raw_fields !== undefined) yield { ...row, raw_fields, recorded_at };
    }
  }
}

function* portions(rows: readonly MalformedRow[]): Generator<MalformedRow[]> {
  let some: MalformedRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (some.length > 0 && (some.length === MAX_ROWS || bytes + row.kept_bytes > MAX_KEPT_BYTES)) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(row);
    bytes += row.kept_bytes;
  }
  if (some.length > 0) yield some;
}
