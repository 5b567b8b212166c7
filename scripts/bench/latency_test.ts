/** Samples of several rounds → one summary. */
import assert from "node:assert/strict";
import { summarise } from "./latency.ts";

Deno.test("summarise() combines the samples of all rounds and keeps the distribution of each round", () => {
  const rounds = [
    { count: 3, both: [3, 1, 2], push: [1, 1, 1], email: [3, 1, 2] },
    { count: 2, both: [9, 8], push: [9, 1], email: [1, 8] },
  ];
  const { samples, undelivered, both, push, email, rounds: each } = summarise({ subject: "service", rate: 10 }, rounds);
  assert.deepEqual([samples, undelivered], [5, 0]);
  assert.deepEqual([both.p50, both.max, push?.p50, email?.p50], [3, 9, 1, 2]);
  assert.deepEqual(each.map(({ p50, max }) => [p50, max]), [[2, 3], [8, 9]]);
});

Deno.test("summarise() counts an intent that was not delivered as infinitely late", () => {
  const late = summarise({ subject: "bullmq", rate: 10 }, [{ count: 3, both: [1], push: [1, 2], email: [1] }]);
  assert.deepEqual([late.undelivered, late.both.p50, late.push?.p50], [2, Infinity, 2]);
});

Deno.test("summarise() returns no figures by channel for the bare hop", () => {
  const bare = summarise({ subject: "bare_hop", rate: 10 }, [{ count: 1, both: [0.1], push: [], email: [] }]);
  assert.ok(!("push" in bare) && !("email" in bare));
});
