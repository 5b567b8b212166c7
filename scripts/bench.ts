/**
 * Options (`--quick` takes two minutes, `--only` selects parts) → measurements of the service, of the floor (the limit
 * that its design sets) and of other libraries: tables, and bench/results.json; with `--docs`, also tables and charts
 * in docs/benchmarks.md. `--compare` adds the service of another checkout to the same run.
 *
 * Exit code 1 if a count was wrong (something was lost or published twice), but never because of a slow result; 64 for
 * invalid arguments; 69 if the servers are not installed. No process is left running, also after Ctrl-C.
 */
import { paint } from "./demo/table.ts";
import { measureBacklog } from "./bench/backlog.ts";
import { measureFeatures } from "./bench/features.ts";
import { measureFlatness } from "./bench/flatness.ts";
import { measureLatency } from "./bench/latency.ts";
import { describeMachine } from "./bench/machine.ts";
import { measureMemory } from "./bench/memory.ts";
import { type Options, parseOptions, type PartName, PARTS, USAGE, wantedParts } from "./bench/options.ts";
import { writeOutputs } from "./bench/outputs.ts";
import { Progress } from "./bench/progress.ts";
import { forTerminal, sectionsOf } from "./bench/report.ts";
import type { Results } from "./bench/results.ts";
import { openSession, type Session } from "./bench/session.ts";
import { measureThroughput } from "./bench/throughput.ts";
import { ServersMissing } from "./servers/install.ts";

const MEASURE = {
  throughput: measureThroughput,
  latency: measureLatency,
  backlog: measureBacklog,
  flatness: measureFlatness,
  memory: measureMemory,
  features: measureFeatures,
} satisfies Record<PartName, (session: Session) => Promise<unknown>>;

if (import.meta.main) {
  const options = parseOptions(Deno.args);
  if ("problem" in options) {
    console.error(`${options.problem}\n${USAGE}`);
    Deno.exit(64);
  }
  if (options.help || options.list) {
    if (options.help) console.log(USAGE);
    for (const [part, summary] of Object.entries(PARTS)) console.log(`  ${part.padEnd(12)} ${summary}`);
    Deno.exit(0);
  }
  const problem = await compareProblem(options);
  if (problem !== undefined) {
    console.error(problem);
    Deno.exit(64);
  }
  try {
    Deno.exit(await bench(options));
  } catch (error) {
    console.error(error instanceof ServersMissing ? `\n${error.message}` : error);
    Deno.exit(error instanceof ServersMissing ? error.exitCode : 1);
  }
}

async function compareProblem({ compare }: Options): Promise<string | undefined> {
  if (compare === undefined) return undefined;
  for (const file of ["main.ts", "deno.json"]) {
    const isThere = await Deno.stat(`${compare}/${file}`).then(({ isFile }) => isFile, () => false);
    if (!isThere) return `--compare needs the folder of a checkout: there is no ${compare}/${file}`;
  }
  return undefined;
}

async function bench(options: Options): Promise<number> {
  const results = await measure(options);
  console.log(forTerminal(sectionsOf(results)).join("\n"));
  const files = await writeOutputs(results, options);
  console.log(`\n${paint("dim", `Written: ${files.join(", ")}`)}`);
  for (const problem of results.problems) console.log(`${paint("red", "✗")} ${problem}`);
  if (results.problems.length > 0) return 1;
  console.log(`${paint("green", "✓")} All counts are right.`);
  return 0;
}

async function measure(options: Options): Promise<Results> {
  const { isQuick } = options;
  const machine = await describeMachine(options);
  const progress = new Progress();
  const seconds: Partial<Record<PartName, number>> = {};
  const found: Partial<Record<PartName, unknown>> = {};
  await using session = await openSession(options, (text) => progress.show(text));
  for (const part of wantedParts(options)) {
    const begun = performance.now();
    progress.part = part;
    try {
      found[part] = await MEASURE[part](session);
    } catch (error) {
      // A failed part must not discard the results of the others.
      session.problems.push(`${part}: ${error instanceof Error ? error.message : error}`);
    }
    seconds[part] = Math.round((performance.now() - begun) / 1000);
    progress.done(`${part} took ${seconds[part]} s`);
  }
  const { problems } = session;
  return { at: new Date().toISOString(), machine, isQuick, seconds, problems, ...found } as Results;
}
