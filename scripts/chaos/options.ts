/** The arguments of `deno task chaos` → what they ask for, or what is wrong with them. */
import { FAULTS, MIXED } from "./faults.ts";

export interface Options {
  readonly seed: string;
  /** No round begins after so many, unless `once` is set. */
  readonly seconds: number;
  /** Names of faults, MIXED among them if pairs are wanted. */
  readonly only: readonly string[];
  /** Intents a second. */
  readonly rate: number;
  /** Ends when every fault has had its turn, however long that takes. */
  readonly once: boolean;
  readonly list: boolean;
  /** Ends at the first breach, for looking into it. */
  readonly failFast: boolean;
}

export const USAGE =
  `Usage: deno task chaos [--seed <text>] [--seconds <number> | --once] [--only <fault>[,<fault>]…] [--rate <number>]
                       [--fail-fast] [--list]`;

export function parseOptions(args: readonly string[]): Options | { readonly problem: string } {
  let options: Options = {
    seed: String(Math.floor(Math.random() * 1_000_000)),
    seconds: 120,
    only: [],
    rate: 250,
    once: false,
    list: false,
    failFast: false,
  };
  for (const { name, value } of pairs(args)) {
    switch (name) {
      case "--seed":
        if (value === "") return { problem: "--seed needs a value" };
        options = { ...options, seed: value };
        break;
      case "--seconds":
      case "--rate": {
        const number = Number(value);
        if (!(number > 0 && number < 1e7)) return { problem: `${name} needs a number above 0, not "${value}"` };
        options = name === "--rate" ? { ...options, rate: number } : { ...options, seconds: number };
        break;
      }
      case "--only": {
        const only = value.split(",").filter((fault) => fault !== "");
        const unknown = only.find((fault) => fault !== MIXED && FAULTS.every((known) => known.name !== fault));
        if (unknown !== undefined) return { problem: `There is no fault "${unknown}"; --list names them all` };
        options = { ...options, only: [...options.only, ...only] };
        break;
      }
      case "--once":
        options = { ...options, once: true };
        break;
      case "--list":
        options = { ...options, list: true };
        break;
      case "--fail-fast":
        options = { ...options, failFast: true };
        break;
      default:
        return { problem: `Unknown argument ${name}` };
    }
  }
  return options;
}

const FLAGS = ["--once", "--list", "--fail-fast"];

/** `--name value` and `--name=value`. */
function* pairs(args: readonly string[]): Generator<{ name: string; value: string }> {
  for (let at = 0; at < args.length; at++) {
    const [name = "", ...rest] = args[at]!.split("=");
    if (rest.length > 0 || FLAGS.includes(name)) yield { name, value: rest.join("=") };
    else yield { name, value: args[++at] ?? "" };
  }
}
