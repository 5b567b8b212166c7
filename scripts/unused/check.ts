/**
 * The project, or another one whose folder is given → one line `file:line: message` for every dead export or file and
 * every unused option; exit code 1 if there is one, or if an exception is no longer needed.
 *
 * Only files of the project are read. Needs no network if its packages are cached.
 */
import { compile } from "./compile.ts";
import { checkDeadExports } from "./dead_exports.ts";
import { EXCEPTIONS } from "./exceptions.ts";
import { type Breach, readProject } from "./project.ts";
import { checkUnusedOptions } from "./unused_options.ts";

if (import.meta.main) {
  const [folder] = Deno.args;
  const project = readProject(folder === undefined ? new URL("../../", import.meta.url) : new URL(`file://${folder}/`));
  const compiled = compile(project);
  const breaches = [...await checkDeadExports(project, compiled), ...checkUnusedOptions(compiled)];
  const lines = withoutExceptions(breaches, folder === undefined ? EXCEPTIONS : []);
  for (const line of lines) console.error(line);
  if (lines.length > 0) Deno.exit(1);
}

/**
 * Returns the lines to print: the breaches without an exception, and the exceptions without a breach.
 * @param exceptions each `<file>: <message>`
 */
export function withoutExceptions(breaches: readonly Breach[], exceptions: readonly string[]): string[] {
  const nameOf = ({ file, message }: Breach) => `${file}: ${message}`;
  const names = new Set(breaches.map(nameOf));
  return [
    ...breaches.filter((breach) => !exceptions.includes(nameOf(breach)))
      .map(({ file, line, message }) => `${file}:${line}: ${message}`),
    ...exceptions.filter((name) => !names.has(name))
      .map((name) => `scripts/unused/exceptions.ts: Delete this exception, nothing needs it: ${name}`),
  ];
}
