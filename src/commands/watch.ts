/**
 * A page every two seconds → the terminal, in place, until Ctrl-C or SIGTERM, which also ends a page that is being
 * made, or until the output is closed. Lines that exceed the terminal's height are left out and counted. If the output
 * is no terminal, the pages follow one another.
 */
import { systemClock } from "../clock.ts";
import { ABORTED, unlessAborted } from "../lifecycle/unless_aborted.ts";
import { print } from "./command.ts";
import { write } from "./output.ts";

const REFRESH_MS = 2000;

export async function watch(makePage: () => Promise<readonly string[]>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  try {
    while (!stop.signal.aborted) {
      const lines = await unlessAborted(makePage(), stop.signal);
      if (lines !== ABORTED) show(lines);
      await systemClock.sleep(REFRESH_MS, stop.signal);
    }
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, onSignal);
  }
}

function show(lines: readonly string[]): void {
  if (!Deno.stdout.isTerminal()) return print([...lines, ""]);
  // The cursor moves home, and the rest of each line and of the page is cleared, so that no empty screen flashes.
  write(`\x1b[H${fit(lines, rowsOfTerminal()).map((line) => `${line}\x1b[K`).join("\n")}\x1b[J\n`);
}

/** The last row stays free for the cursor: a page that fills it would scroll. */
function fit(lines: readonly string[], rows: number): readonly string[] {
  const most = Math.max(1, rows - 1);
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most - 1), `  … ${lines.length - most + 1} lines more than fit here`];
}

function rowsOfTerminal(): number {
  // 0 where the terminal doesn't know.
  return Deno.consoleSize().rows || Infinity;
}
