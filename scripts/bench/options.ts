/** The arguments of `deno task bench` → options, or a message that says which argument is invalid. Pure. */
import { type Subject, SUBJECTS } from "./subjects.ts";

export const PARTS = {
  throughput: "CPU an intent, and intents a second: floor, service, peers",
  latency: "from XADD in to XADD out at several rates: bare hop, service, peers",
  backlog: "publishing routes that are already due: routes a second and CPU a route: service",
  flatness: "publishing, accepting and deleting with millions of rows, and under an old snapshot",
  memory: "resident size: idle, at full load, with a backlog",
  features: "the cost of logs, metrics and traces; several publishing instances",
} as const;

export type PartName = keyof typeof PARTS;

/** The parts that are measured with `--compare` and without `--only`. */
const COMPARED: readonly PartName[] = ["throughput", "latency", "backlog"];

export const RATES: readonly number[] = [10, 100, 1000, 3000];

export interface Options {
  readonly isQuick: boolean;
  readonly only: readonly PartName[];
  readonly list: boolean;
  readonly help: boolean;
  /** Also write tables and charts to docs/benchmarks.md. */
  readonly docs: boolean;
  /** Empty: each part measures its default subjects. */
  readonly subjects: readonly Subject[];
  /** Rounds of throughput, latency, backlog and features; `undefined`: the default of each part. */
  readonly rounds: number | undefined;
  /** The rates of latency, in intents per second. */
  readonly rates: readonly number[];
  /** The folder of another checkout of the service, which is measured as an additional subject. */
  readonly compare: string | undefined;
}

const NONE: Options = {
  isQuick: false,
  only: [],
  list: false,
  help: false,
  docs: false,
  subjects: [],
  rounds: undefined,
  rates: RATES,
  compare: undefined,
};

export const USAGE = `Usage: deno task bench [--quick] [--only <part>[,<part>]…] [--docs] [--list] [--help]
    [--compare <folder>]  also measure the service of another checkout; by default throughput, latency and backlog
    [--subjects <subject>[,<subject>]…]  measure only these (in throughput, latency, backlog and memory)
    [--rounds <number>]  rounds of throughput, latency, backlog and features
    [--rates <number>[,<number>]…]  rates of latency, in intents per second
Subjects: ${SUBJECTS.join(", ")} (other is the checkout of --compare)
Parts:`;

const FLAGS = { "--quick": "isQuick", "--list": "list", "--help": "help", "--docs": "docs" } as const;

type Parsed = Partial<Options> | { readonly problem: string };

export function parseOptions(args: readonly string[]): Options | { readonly problem: string } {
  let options = NONE;
  for (let at = 0; at < args.length; at++) {
    const [name = "", ...rest] = args[at]!.split("=");
    const isFlag = Object.hasOwn(FLAGS, name) && rest.length === 0;
    const parsed = isFlag
      ? { [FLAGS[name as keyof typeof FLAGS]]: true }
      : parseValue(name, rest.length > 0 ? rest.join("=") : args[++at] ?? "", options);
    if (parsed === undefined) return { problem: `Unknown argument ${args[rest.length > 0 ? at : at - 1]}` };
    if ("problem" in parsed) return parsed;
    options = { ...options, ...parsed };
  }
  return inconsistency(options) ?? options;
}

/** Returns the parts in the order in which they run. */
export function wantedParts({ only, compare }: Pick<Options, "only" | "compare">): PartName[] {
  const all = Object.keys(PARTS) as PartName[];
  const wanted = only.length > 0 ? only : compare !== undefined ? COMPARED : all;
  return all.filter((part) => wanted.includes(part));
}

/** Returns those of `byDefault` that the command line allows. `other` needs `--compare`. */
export function wantedSubjects<Some extends Subject>(
  { subjects, compare }: Pick<Options, "subjects" | "compare">,
  byDefault: readonly Some[],
): Some[] {
  return byDefault.filter((subject) =>
    (subject !== "other" || compare !== undefined) && (subjects.length === 0 || subjects.includes(subject))
  );
}

/** Returns `undefined` for an unknown name. */
function parseValue(name: string, value: string, { only, subjects }: Options): Parsed | undefined {
  const items = value.split(",").filter((item) => item !== "");
  switch (name) {
    case "--only": {
      const unknown = items.find((item) => !Object.hasOwn(PARTS, item));
      if (unknown !== undefined) return { problem: `There is no part "${unknown}"; --list names them all` };
      if (items.length === 0) return { problem: "--only needs a part; --list names them all" };
      return { only: [...only, ...items as PartName[]] };
    }
    case "--subjects": {
      const unknown = items.find((item) => !(SUBJECTS as readonly string[]).includes(item));
      if (unknown !== undefined) return { problem: `There is no subject "${unknown}"; --help names them all` };
      if (items.length === 0) return { problem: "--subjects needs a subject; --help names them all" };
      return { subjects: [...subjects, ...items as Subject[]] };
    }
    case "--rounds":
      return isPositive(value) ? { rounds: Number(value) } : { problem: "--rounds needs a number from 1 on" };
    case "--rates":
      if (items.length > 0 && items.every(isPositive)) return { rates: items.map(Number) };
      return { problem: "--rates needs numbers of intents a second, such as 100,1000" };
    case "--compare":
      return value === "" ? { problem: "--compare needs the folder of another checkout" } : { compare: value };
    default:
      return undefined;
  }
}

function inconsistency(options: Options): { readonly problem: string } | undefined {
  const { docs, isQuick, only, subjects, rounds, rates, compare } = options;
  if (subjects.includes("other") && compare === undefined) {
    return { problem: "The subject other needs --compare <folder>" };
  }
  const isWhole = !isQuick && only.length + subjects.length === 0 && (rounds ?? compare) === undefined &&
    rates === RATES;
  return docs && !isWhole ? { problem: "--docs is for a full run: without any option but --docs" } : undefined;
}

function isPositive(text: string): boolean {
  return /^[1-9]\d{0,6}$/.test(text);
}
