/** Cells, each a text with an optional style → a table by src/commands/terminal.ts, at most 100 columns wide. */
import * as terminal from "../../src/commands/terminal.ts";

export { type Cell, paint } from "../../src/commands/terminal.ts";

const WIDE = { width: 100 };

export const table = (header: readonly string[], rows: readonly (readonly terminal.Cell[])[]): string[] =>
  terminal.table(header, rows, WIDE);

export const list = (pairs: readonly (readonly [string, string])[]): string[] => terminal.list(pairs, WIDE);

export const wrap = (text: string, indent: number): string[] => terminal.wrap(text, indent, WIDE);
