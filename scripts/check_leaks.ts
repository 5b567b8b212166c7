/**
 * `--rounds <number>` (default 200), `--minutes <number>` (default 1) and `--intents <number>` (default 6,000) → tables
 * of the resources of this process, early and late, while the whole service in it is started and stopped `--rounds`
 * times, while its dependencies fail for `--minutes` minutes, and while it gets `--intents` intents one at a time.
 *
 * Exit code 0 if no figure grows; 1 if one does; 64 for invalid arguments; 69 if the servers are not installed.
 */
import "./leaks/listeners.ts"; // first, because it watches only modules that are loaded later
import { paint, table } from "./demo/table.ts";
import { type Growth, growthOf, type Tolerances } from "./leaks/growth.ts";
import { playOutages } from "./leaks/outages.ts";
import { playRounds } from "./leaks/rounds.ts";
import { playSingles, singlesTolerances } from "./leaks/singles.ts";
import type { Sample } from "./leaks/sample.ts";
import { InProcessService } from "./leaks/in_process_service.ts";
import { ServersMissing } from "./servers/install.ts";

const HEADER = ["figure", "second quarter", "last quarter", "at most"];

if (import.meta.main) {
  const options = parseOptions(Deno.args);
  if (options === undefined) {
    console.error(
      "Usage: deno task check:leaks [--rounds <number>] [--minutes <number>] [--intents <number>]   (0 leaves a part out)",
    );
    Deno.exit(64);
  }
  try {
    Deno.exit(await checkLeaks(options) ? 0 : 1);
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

interface Options {
  readonly rounds: number;
  readonly minutes: number;
  readonly intents: number;
}

function parseOptions(args: readonly string[]): Options | undefined {
  const options = { rounds: 200, minutes: 1, intents: 6000 };
  for (let at = 0; at < args.length; at += 2) {
    const value = Number(args[at + 1]);
    if (!(value >= 0)) return undefined;
    if (args[at] === "--rounds") options.rounds = value;
    else if (args[at] === "--minutes") options.minutes = value;
    else if (args[at] === "--intents") options.intents = value;
    else return undefined;
  }
  return options;
}

/** Returns whether no figure grows. */
async function checkLeaks({ rounds, minutes, intents }: Options): Promise<boolean> {
  let isClean = true;
  if (rounds > 0) {
    isClean = await part(`${rounds} starts and stops`, (service) => playRounds(service, rounds)) && isClean;
  }
  if (minutes > 0) {
    isClean = await part(`${minutes} minutes of outages`, (service) => playOutages(service, minutes)) && isClean;
  }
  if (intents > 0) {
    const play = (service: InProcessService) => playSingles(service, intents);
    isClean = await part(`${intents} intents one at a time`, play, singlesTolerances(intents)) && isClean;
  }
  return isClean;
}

async function part(
  name: string,
  play: (service: InProcessService) => Promise<Sample[]>,
  tolerances?: Partial<Tolerances>,
): Promise<boolean> {
  await using service = await InProcessService.open();
  const begun = performance.now();
  const samples = await play(service);
  const seconds = Math.round((performance.now() - begun) / 1000);
  const growths = growthOf(samples, tolerances);
  const isClean = growths.every(({ isGrowing }) => !isGrowing);
  console.log(`${name}: ${samples.length} samples in ${seconds} s`);
  for (const line of table(HEADER, growths.map(row))) console.log(line);
  console.log(isClean ? `${paint("green", "✓")} Nothing grows.\n` : `${paint("red", "✗")} Something grows.\n`);
  return isClean;
}

function row({ figure, early, late, limit, isGrowing }: Growth) {
  const isSize = figure === "heap" || figure === "resident";
  const shown = (value: number) => isSize ? `${(value / 1e6).toFixed(1)} MB` : String(value);
  return [figure, shown(early), isGrowing ? ["red", shown(late)] as const : shown(late), shown(limit)];
}
