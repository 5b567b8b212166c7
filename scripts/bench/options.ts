/** The arguments of `deno task bench` → what they ask for, or what is wrong with them. Pure. */
import { type Subject, SUBJECTS } from "./subjects.ts";

export const PARTS = {
  throughput: "CPU an intent, and intents a second: floor, service, peers",
  latency: "from XADD in to XADD out at several rates: bare hop, service, peers",
  backlog: "publishing what is due already: routes a second and CPU a route: service",
  flatness: "publishing, accepting and deleting with millions of rows, and under an old snapshot",
  memory: "resident size: idle, at full load, with a backlog",
  features: "what logs, metrics and traces cost; several publishing instances",
} as const;

export type PartName = keyof typeof PARTS;

/** What is measured with `--compare` unless `--only` says otherwise. */
const COMPARED: readonly PartName[] = ["throughput", "latency", "backlog"];

export const RATES: readonly number[] = [10, 100, 1000, 3000];

export interface Options {
  readonly isQuick: boolean;
  readonly only: readonly PartName[];
  readonly list: boolean;
  readonly help: boolean;
  /** Puts tables and charts into docs/ as well. */
  readonly docs: boolean;
  /** Empty for those that each part measures by default. */
  readonly subjects: readonly Subject[];
  /** Of throughput, latency, backlog and features; `undefined` for the default of each. */
  readonly rounds: number | undefined;
  /** Of latency, intents a second. */
  readonly rates: readonly number[];
  /** Folder of another checkout of the service, which is measured as one more subject. */
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
    [--compare <folder>]  measures the service of another checkout too: throughput, latency and backlog by default
    [--subjects <subject>[,<subject>]…]  only these, for throughput, latency, backlog and memory
    [--rounds <number>]  of throughput, latency, backlog and features
    [--rates <number>[,<number>]…]  of latency, intents a second
Subjects: ${SUBJECTS.join(", ")} (other is that of --compare)
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

/** In the order in which they run. */
export function wantedParts({ only, compare }: Pick<Options, "only" | "compare">): PartName[] {
  const all = Object.keys(PARTS) as PartName[];
  const wanted = only.length > 0 ? only : compare !== undefined ? COMPARED : all;
  return all.filter((part) => wanted.includes(part));
}

/** Those of `byDefault` or of the command line; without `--compare` there is no other checkout. */
export function wantedSubjects<Some extends Subject>(
  { subjects, compare }: Pick<Options, "subjects" | "compare">,
  byDefault: readonly Some[],
): Some[] {
  return byDefault.filter((subject) =>
    (subject !== "other" || compare !== undefined) && (subjects.length === 0 || subjects.includes(subject))
  );
}

/** `undefined` for a name that is none. */
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
