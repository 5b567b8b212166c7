/**
 * Cells, each a text and perhaps a style → lines for a terminal: aligned columns that keep to a width, coloured only
 * where the output is a terminal and NO_COLOR is not set.
 *
 * What came from outside can't steer the terminal: control characters come out as escapes.
 */
import { escapeControls } from "../notification/control_characters.ts";

const WIDTH = 80;
const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Style = keyof typeof STYLES;
export type Cell = string | readonly [Style, string];

const coloured = !Deno.noColor && Deno.stdout.isTerminal();

export function paint(style: Style, text: string): string {
  return coloured ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;
}

export interface Layout {
  /** Columns of the terminal; 80 by default. */
  readonly width?: number;
}

/**
 * The last column takes what room is left. Where that is not enough for all, what is cut ends in `…`: the last column's
 * cells and, should one of the others take more than half a line, that one's.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  { width = WIDTH }: Layout = {},
): string[] {
  const lines = [header.map((name): Cell => ["dim", name]), ...rows];
  const natural = header.map((_, column) => Math.max(...lines.map((line) => lengthOf(textOf(line[column] ?? "")))));
  const total = natural.reduce((sum, columns) => sum + columns + 2, 0);
  const widths = natural.map((columns, column) => {
    const isWide = columns > width / 2 && column < header.length - 1;
    return isWide ? Math.max(width / 2, columns - Math.max(0, total - width)) : columns;
  });
  return lines.map((line) => {
    let room = width - 2;
    const cells = line.map((cell, column) => {
      const isLast = column === header.length - 1;
      const text = cut(textOf(cell), isLast ? room : Math.min(room, widths[column] ?? 0));
      room -= (widths[column] ?? 0) + 2;
      const painted = typeof cell === "string" ? text : paint(cell[0], text);
      return isLast ? painted : painted + " ".repeat(Math.max(0, (widths[column] ?? 0) - lengthOf(text)));
    });
    return `  ${cells.join("  ")}`.trimEnd();
  });
}

/**
 * One name and value a line; a value that is too long goes on in the next, after a comma or a space where there is
 * one.
 */
export function list(
  pairs: readonly (readonly [string, string])[],
  { width = WIDTH, margin = 4 }: Layout & { readonly margin?: number } = {},
): string[] {
  const indent = Math.max(...pairs.map(([name]) => lengthOf(name))) + margin + 2;
  const room = width - indent;
  const part = new RegExp(`.{1,${room}}$|.{1,${room - 1}}[ ,]|.{1,${room}}`, "gsu");
  return pairs.flatMap(([name, value]) =>
    (escapeControls(value).match(part) ?? [""]).map((text, index) => {
      return (paint("dim", (index === 0 ? " ".repeat(margin) + name : "").padEnd(indent)) + text).trimEnd();
    })
  );
}

/** Breaks `text` between words into lines that fit after `indent` columns. */
export function wrap(text: string, indent: number, { width = WIDTH }: Layout = {}): string[] {
  const lines: string[] = [];
  let line = "";
  const part = new RegExp(`.{1,${Math.max(1, width - indent)}}`, "gu");
  for (const word of escapeControls(text).split(/\s+/).flatMap((word) => word.match(part) ?? [])) {
    if (line !== "" && lengthOf(line) + 1 + lengthOf(word) > width - indent) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((text) => " ".repeat(indent) + text);
}

function cut(text: string, room: number): string {
  return lengthOf(text) <= room ? text : [...text].slice(0, Math.max(0, room - 1)).join("") + "…";
}

function textOf(cell: Cell): string {
  return escapeControls(typeof cell === "string" ? cell : cell[1]);
}

function lengthOf(text: string): number {
  return [...text].length;
}
