/**
 * Cells, each a text with or without a style → lines for a terminal: aligned columns within its width (80 columns at
 * most, and if the output is no terminal), coloured only on a terminal and if NO_COLOR is not set.
 *
 * Data can't control the terminal: control characters are escaped.
 */
import { styleText } from "node:util";
import { escapeControls } from "../notification/control_characters.ts";
import { displayWidth, fitting } from "./display_width.ts";

const MAX_WIDTH = 80;
const MIN_WIDTH = 20;

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
export type Cell = string | readonly [Style, string];

/** Decided here, because styleText() heeds the terminal and NO_COLOR only from Deno 2.9 on. */
const coloured = !Deno.noColor && Deno.stdout.isTerminal();

export function paint(style: Style, text: string): string {
  return coloured ? styleText(style, text, { validateStream: false }) : text;
}

export interface Layout {
  /** Columns; by default the terminal's. */
  readonly width?: number;
}

function terminalWidth(): number {
  if (!Deno.stdout.isTerminal()) return MAX_WIDTH;
  // 0 if the terminal doesn't know.
  return Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, Deno.consoleSize().columns || MAX_WIDTH));
}

/**
 * The last column takes the remaining width. If that is too little, cells end in `…`: those of the last column, and
 * those of another column that takes more than half a line.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  { width = terminalWidth() }: Layout = {},
): string[] {
  const lines = [header.map((name): Cell => ["dim", name]), ...rows];
  const natural = header.map((_, column) => Math.max(...lines.map((line) => displayWidth(textOf(line[column] ?? "")))));
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
      return isLast ? painted : painted + " ".repeat(Math.max(0, (widths[column] ?? 0) - displayWidth(text)));
    });
    return `  ${cells.join("  ")}`.trimEnd();
  });
}

/**
 * One name and value per line; a value that is too long continues on the next line, after a comma or a space if it has
 * one.
 */
export function list(
  pairs: readonly (readonly [string, string])[],
  { width = terminalWidth(), margin = 4 }: Layout & { readonly margin?: number } = {},
): string[] {
  const indent = Math.max(...pairs.map(([name]) => displayWidth(name))) + margin + 2;
  return pairs.flatMap(([name, value]) =>
    parts(escapeControls(value), width - indent).map((text, index) => {
      return (paint("dim", (index === 0 ? " ".repeat(margin) + name : "").padEnd(indent)) + text).trimEnd();
    })
  );
}

/** Pieces that fit, each up to a comma or a space if it has one. */
function parts(text: string, room: number): string[] {
  const pieces: string[] = [];
  for (let rest = text; rest !== "" || pieces.length === 0;) {
    const piece = fitting(rest, room);
    const isLast = piece.length === rest.length;
    const end = isLast ? piece.length : Math.max(piece.lastIndexOf(" "), piece.lastIndexOf(",")) + 1;
    pieces.push(rest.slice(0, end || piece.length));
    rest = rest.slice(end || piece.length);
  }
  return pieces;
}

/** Breaks `text` between words into lines that fit after `indent` columns. */
export function wrap(text: string, indent: number, { width = terminalWidth() }: Layout = {}): string[] {
  const room = Math.max(1, width - indent);
  const lines: string[] = [];
  let line = "";
  for (const word of escapeControls(text).split(/\s+/).flatMap((word) => broken(word, room))) {
    if (line !== "" && displayWidth(line) + 1 + displayWidth(word) > room) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((text) => " ".repeat(indent) + text);
}

function broken(word: string, room: number): string[] {
  const pieces: string[] = [];
  for (let rest = word; rest !== "";) {
    const piece = fitting(rest, room);
    pieces.push(piece);
    rest = rest.slice(piece.length);
  }
  return pieces;
}

function cut(text: string, room: number): string {
  if (displayWidth(text) <= room) return text;
  if (room <= 0) return "";
  const piece = fitting(text, room - 1);
  return displayWidth(piece) < room ? `${piece}…` : "…";
}

/** In one line, with control characters escaped. */
function textOf(cell: Cell): string {
  return escapeControls(typeof cell === "string" ? cell : cell[1]);
}
