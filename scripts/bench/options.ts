// In: the arguments of `deno task bench`. Out: what they ask for, or what is wrong with them.

export const PARTS = {
  throughput: "how many intents a second: floor, service, peers",
  latency: "from XADD in to XADD out at several rates: service, peers",
  flatness: "publishing, accepting and deleting with millions of rows, and under an old snapshot",
  memory: "resident size: idle, at full load, with a backlog",
  features: "what logs and traces cost; several publishing instances",
} as const;

export type PartName = keyof typeof PARTS;

export interface Options {
  readonly isQuick: boolean;
  readonly only: readonly PartName[];
  readonly list: boolean;
  readonly help: boolean;
  /** Puts tables and charts into docs/ as well. */
  readonly docs: boolean;
}

export const USAGE = "Usage: deno task bench [--quick] [--only <part>[,<part>]…] [--docs] [--list] [--help]";

export function parseOptions(args: readonly string[]): Options | { readonly problem: string } {
  let options: Options = { isQuick: false, only: [], list: false, help: false, docs: false };
  for (let at = 0; at < args.length; at++) {
    const [name = "", ...rest] = args[at]!.split("=");
    const flag = { "--quick": "isQuick", "--list": "list", "--help": "help", "--docs": "docs" }[name];
    if (flag !== undefined && rest.length === 0) {
      options = { ...options, [flag]: true };
    } else if (name === "--only") {
      const parts = (rest.length > 0 ? rest.join("=") : args[++at] ?? "").split(",").filter((part) => part !== "");
      const unknown = parts.find((part) => !isPart(part));
      if (unknown !== undefined) return { problem: `There is no part "${unknown}"; --list names them all` };
      if (parts.length === 0) return { problem: "--only needs a part; --list names them all" };
      options = { ...options, only: [...options.only, ...parts.filter(isPart)] };
    } else {
      return { problem: `Unknown argument ${args[at]}` };
    }
  }
  if (options.docs && (options.isQuick || options.only.length > 0)) {
    return { problem: "--docs is for a full run: without --quick and --only" };
  }
  return options;
}

/** In the order in which they run. */
export function wantedParts({ only }: Pick<Options, "only">): PartName[] {
  const all = Object.keys(PARTS) as PartName[];
  return only.length === 0 ? all : all.filter((part) => only.includes(part));
}

function isPart(text: string): text is PartName {
  return Object.hasOwn(PARTS, text);
}
