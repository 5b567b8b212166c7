/** Which growth counts as a leak. */
import assert from "node:assert/strict";
import { growthOf } from "./growth.ts";
import type { Sample } from "./sample.ts";

const STEADY: Sample = {
  heap: 20e6,
  resident: 120e6,
  sockets: 20,
  "open files": 30,
  "emitter listeners": 200,
  "signal listeners": 10,
};

/** Returns the figures that grow over a hundred samples, with one sample for two rounds. */
function growing(sampleOf: (round: number) => Partial<Sample>): string[] {
  const samples = Array.from({ length: 100 }, (_, round) => ({ ...STEADY, ...sampleOf(round) }));
  return growthOf(samples).filter(({ isGrowing }) => isGrowing).map(({ figure }) => figure);
}

Deno.test("growthOf() accepts a figure that goes up and down, or grows only in the first quarter", () => {
  assert.deepEqual(growing(() => ({})), []);
  assert.deepEqual(growing((round) => ({ sockets: 10 + round % 20, heap: 20e6 + 3e6 * (round % 2) })), []);
  assert.deepEqual(growing((round) => ({ heap: Math.min(20e6, 10e6 + round * 1e6) })), []);
  assert.deepEqual(growing((round) => round === 99 ? { heap: 90e6, sockets: 500 } : {}), []);
});

Deno.test("growthOf() finds a leak of one socket, one listener or some memory in each round", () => {
  assert.deepEqual(growing((round) => ({ sockets: 20 + round, "open files": 30 + round })), ["sockets", "open files"]);
  assert.deepEqual(growing((round) => ({ "signal listeners": 10 + round })), ["signal listeners"]);
  assert.deepEqual(growing((sample) => ({ "emitter listeners": 200 + 2 * sample })), ["emitter listeners"]);
  assert.deepEqual(growing((round) => ({ heap: 20e6 + 40e3 * round })), ["heap"]);
  assert.deepEqual(growing((round) => ({ resident: 120e6 + 5e5 * round })), ["resident"]);
});

Deno.test("growthOf() uses the given tolerances instead of its own", () => {
  const samples = Array.from({ length: 100 }, (_, round) => ({ ...STEADY, heap: 20e6 + 4e3 * round }));
  const heapGrows = (tolerances?: Parameters<typeof growthOf>[1]) =>
    growthOf(samples, tolerances).find(({ figure }) => figure === "heap")!.isGrowing;
  assert.equal(heapGrows(), false);
  assert.equal(heapGrows({ heap: { share: 0, amount: 1e5 } }), true);
});

Deno.test("growthOf() throws if there are too few samples", () => {
  assert.throws(() => growthOf(Array(11).fill(STEADY)), /too few/);
});
