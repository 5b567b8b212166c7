/**
 * The common part of all commands: options, help, failures.
 *
 * Results go to standard output by {@link print} and {@link printJson}, everything else to standard error.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { nearestName } from "../config/names.ts";
import { EXIT } from "../lifecycle/shutdown.ts";
import { escapeControls, printableJson } from "../notification/control_characters.ts";
import { write } from "./output.ts";

/** The service's own exit codes, and those that only commands use. */
export const COMMAND_EXIT = {
  ...EXIT,
  /** The subject does not exist, or the attempt did not succeed. */
  failed: 1,
  /** As in sysexits.h: a wrong command line, or wrong data. */
  usage: 64,
  invalidInput: 65,
} as const;

export type Options = NonNullable<ParseArgsConfig["options"]>;

export interface Arguments {
  readonly positionals: readonly string[];
  /** Whether the flag was given. */
  flag(name: string): boolean;
  /** The value of the option, if it was given. */
  value(name: string): string | undefined;
}

/** The parts of the process that a command may use. */
export interface ProcessContext {
  readonly env: Pick<Deno.Env, "get" | "set">;
}

export interface Command {
  /** The text after the program's name in the first line of the help. */
  readonly usage: string;
  /** The help below that line, at most 80 columns wide. */
  readonly help: string;
  readonly options: Options;
  /** Returns the exit code. */
  readonly run: (args: Arguments, context: ProcessContext) => Promise<number>;
}

/** Ends a command with a message for the operator and an exit code. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export function usageError(message: string): CommandFailed {
  return new CommandFailed(COMMAND_EXIT.usage, message);
}

/** @throws CommandFailed that names what is wrong, and the option that was probably meant */
export function parseArguments(args: readonly string[], options: Options): Arguments {
  const all: Options = { ...options, help: { type: "boolean", short: "h" } };
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: all, allowPositionals: true });
    return {
      positionals,
      flag: (name) => values[name] === true,
      value: (name) => typeof values[name] === "string" ? values[name] : undefined,
    };
  } catch (error) {
    throw usageError(explain(error, Object.keys(all)));
  }
}

function explain(error: unknown, names: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return message;
  return `unknown option ${unknown}; did you mean --${nearestName(unknown.replace(/^-+/, ""), names)}?`;
}

/** One of `choices` from the command line; any other text is an error with a suggestion. */
export function choice<const Name extends string>(
  given: string | undefined,
  choices: readonly Name[],
  what: string,
): Name {
  const found = choices.find((name) => name === given);
  if (found !== undefined) return found;
  const known = choices.join(", ");
  if (given === undefined) throw usageError(`${what} is missing: one of ${known}`);
  throw usageError(`unknown ${what} ${JSON.stringify(given)}; did you mean ${nearestName(given, choices)}? (${known})`);
}

/** @throws CommandFailed when there are more positional arguments than `count` */
export function atMost(args: Arguments, count: number): void {
  const extra = args.positionals[count];
  if (extra !== undefined) throw usageError(`unexpected argument ${JSON.stringify(extra)}`);
}

export function print(lines: readonly string[]): void {
  if (lines.length > 0) write(`${lines.join("\n")}\n`);
}

/** The one object that `--json` prints. */
export function printJson(value: Readonly<Record<string, unknown>>): void {
  write(`${jsonText(value)}\n`);
}

/** Like {@link printJson}, for one list, which is written row by row, so that it may be large. */
export async function printJsonList(name: string, rows: AsyncIterable<unknown>): Promise<void> {
  let before = `{\n  ${JSON.stringify(name)}: [`;
  let count = 0;
  for await (const row of rows) {
    write(`${before}\n    ${jsonText(row).replaceAll("\n", "\n    ")}`);
    before = ",";
    count++;
  }
  write(`${count === 0 ? before : ""}${count === 0 ? "" : "\n  "}]\n}\n`);
}

function jsonText(value: unknown): string {
  return printableJson(value, { indent: 2 });
}

/**
 * Prints a text that is no result to standard error. Its line breaks are kept; other control characters are escaped.
 */
export function printError(text: string): void {
  console.error(text.split("\n").map(escapeControls).join("\n"));
}
