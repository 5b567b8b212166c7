/** The arguments of `deno task chaos` → options, or a message that says which argument is invalid. */
import { FAULTS, PAIR_NAME } from "./faults.ts";

export interface Options {
  readonly seed: string;
  /** No round begins after this time, unless `once` is set. */
  readonly seconds: number;
  /** Names of faults; `PAIR_NAME` means pairs of faults. */
  readonly only: readonly string[];
  /** Intents per second. */
  readonly rate: number;
  /** Play every fault once and then stop, whatever time that takes. */
  readonly once: boolean;
  readonly list: boolean;
  /** Stop after the first round that has a breach. */
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
        const unknown = only.find((fault) => fault !== PAIR_NAME && FAULTS.every((known) => known.name !== fault));
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
