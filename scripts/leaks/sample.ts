/**
 * This process while it is idle → its resources: memory after a garbage collection, sockets, open files, listeners. The
 * task check:leaks turns off V8's compilers, because compiled code is part of the heap and grows for longer than a run
 * takes (measured: 0.25 MB a minute after five minutes).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { countListeners } from "./listeners.ts";

/** Figures by name; sizes are in bytes. */
export type Sample = Readonly<Record<Figure, number>>;
export const FIGURES = [
  "heap",
  "resident",
  "sockets",
  "open files",
  "emitter listeners",
  "signal listeners",
] as const;
export type Figure = typeof FIGURES[number];

export async function takeSample(): Promise<Sample> {
  await collectGarbage();
  const { heapUsed, external, rss } = Deno.memoryUsage();
  const { emitters, signals } = countListeners();
  const files = openFiles();
  return {
    heap: heapUsed + external,
    resident: rss,
    sockets: files.filter((target) => target.startsWith("socket:")).length,
    "open files": files.length,
    "emitter listeners": emitters,
    "signal listeners": signals,
  };
}

/** Runs twice, with a turn of the event loop in between: the second run collects what finalizers have released. */
async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("The flag --v8-flags=--expose-gc is missing");
  for (let times = 0; times < 2; times++) {
    gc();
    await sleep(1);
  }
}

function openFiles(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return ""; // the file of the listing itself, which is closed now
    }
  }).filter((target) => target !== "");
}
