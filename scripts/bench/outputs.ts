/**
 * The results of a run → files: bench/results.json, which git ignores; with `docs`, also tables and charts in the
 * documentation.
 *
 * In docs/benchmarks.md, only the text between the two markers is replaced.
 */
import { forDocumentation, sectionsOf } from "./report.ts";
import type { Results } from "./results.ts";

const ROOT = new URL("../../", import.meta.url);
const [BEGIN, END] = ["<!-- results: made by deno task bench --docs -->", "<!-- /results -->"];

/** Returns the written files, as paths relative to the project's folder. */
export async function writeOutputs(results: Results, { docs }: { docs: boolean }): Promise<string[]> {
  const files = new Map<string, string>();
  files.set("bench/results.json", `${JSON.stringify(results, null, 2)}\n`);
  if (docs) {
    const page = await Deno.readTextFile(new URL("docs/benchmarks.md", ROOT));
    files.set("docs/benchmarks.md", withResults(page, documentation(results)));
  }
  await Deno.mkdir(new URL("bench", ROOT), { recursive: true });
  for (const [path, text] of files) await Deno.writeTextFile(new URL(path, ROOT), text);
  return [...files.keys()];
}

/** @throws Error if the page does not contain each marker exactly once and in order */
export function withResults(page: string, results: string): string {
  const [before, rest, ...more] = page.split(BEGIN);
  const [, after, ...yetMore] = rest?.split(END) ?? [];
  if (before === undefined || after === undefined || more.length > 0 || yetMore.length > 0) {
    throw new Error(`docs/benchmarks.md should contain the markers ${BEGIN} and ${END} once each`);
  }
  return `${before}${BEGIN}\n${results}\n${END}${after}`;
}

function documentation(results: Results): string {
  const machine = Object.entries(results.machine).map(([name, value]) => `${name} ${value}`).join("; ");
  return `Measured ${results.at.slice(0, 10)} on: ${machine}.\n\n${forDocumentation(sectionsOf(results))}`;
}
