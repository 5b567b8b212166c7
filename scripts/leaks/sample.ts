/**
 * This process at a quiet moment → what it holds: memory after a collection of garbage, sockets, listeners. The task
 * check:leaks turns V8's compilers off: their code is part of the heap, and grows for longer than a run takes (seen:
 * 0.25 MB a minute after five minutes, all of it code).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { countListeners } from "./listeners.ts";

/** By name; sizes are bytes. */
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

/** Twice, with a turn of the event loop between: what a finalizer lets go goes with the second. */
async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("To be run with --v8-flags=--expose-gc");
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
      return ""; // the listing's own, closed by now
    }
  }).filter((target) => target !== "");
}
