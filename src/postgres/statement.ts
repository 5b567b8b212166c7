/**
 * A statement whose parameters have names: a parameter that is added, moved or missing is a type error, never a shifted
 * number.
 *
 *     const MOVE = statement({ name: "move", takes: { stream: "text", entry: ENTRIES } }, (p) => `… ${p.stream} … ${p.entry()} …`);
 *     await client.query(MOVE({ stream: "s", entry: entries }));
 */
import type pg from "pg";
import { RowSet, SEPARATOR, type SqlType } from "./columns.ts";

type Takes = Readonly<Record<string, SqlType | RowSet<never, string>>>;

/**
 * The texts to insert into the statement: a typed parameter, or the rows as an item of FROM (with all columns, or only
 * the named ones).
 */
type Parameters<Taken extends Takes> = {
  readonly [Name in keyof Taken]: Taken[Name] extends RowSet<never, infer Column> ? (...only: Column[]) => string
    : string;
};

/** The values of a call; NULL is `null`. */
type Values<Taken extends Takes> = {
  readonly [Name in keyof Taken]: Taken[Name] extends RowSet<infer Row, string> ? readonly Row[]
    : string | number | null;
};

export interface Statement<Taken extends Takes> {
  (values: Values<Taken>): pg.QueryConfig;
  /** For EXPLAIN. */
  readonly text: string;
}

/** @param options.name the prepared statement's name */
export function statement<const Taken extends Takes>(
  { name, takes }: { readonly name: string; readonly takes: Taken },
  textOf: (parameters: Parameters<Taken>) => string,
): Statement<Taken> {
  const splits = Object.values(takes).some((type) => type instanceof RowSet);
  const text = textOf(parametersOf(takes, 1));
  // If the statement splits or joins columns, $1 is the separator.
  const hasSeparator = splits || /\$1(?!\d)/.test(text);
  return withValues({ name, takes, text: hasSeparator ? text : textOf(parametersOf(takes, 0)), hasSeparator });
}

function parametersOf<Taken extends Takes>(takes: Taken, before: number): Parameters<Taken> {
  let numbered = before;
  const parameters: Record<string, unknown> = {};
  for (const [taken, type] of Object.entries(takes)) {
    if (type instanceof RowSet) {
      const numbers = new Map(type.names.map((column) => [column, ++numbered]));
      parameters[taken] = (...only: never[]) => type.from(taken, only, (column) => `$${numbers.get(column)}`);
    } else {
      parameters[taken] = `$${++numbered}::${type}`;
    }
  }
  return parameters as Parameters<Taken>;
}

function withValues<Taken extends Takes>(
  { name, takes, text, hasSeparator }: { name: string; takes: Taken; text: string; hasSeparator: boolean },
): Statement<Taken> {
  const entries = Object.entries(takes);
  const query = (values: Values<Taken>): pg.QueryConfig => {
    const sent: unknown[] = hasSeparator ? [SEPARATOR] : [];
    for (const [taken, type] of entries) {
      if (type instanceof RowSet) sent.push(...type.parametersOf(values[taken] as never[]));
      else sent.push(values[taken]);
    }
    return { name, text, values: sent };
  };
  return Object.assign(query, { text });
}
