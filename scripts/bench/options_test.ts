/** The arguments of `deno task bench`: their meaning, and which ones are refused. */
import assert from "node:assert/strict";
import { type Options, parseOptions, RATES, wantedParts, wantedSubjects } from "./options.ts";
import { SERVICES, SUBJECTS } from "./subjects.ts";

Deno.test("parseOptions() without arguments returns a full run of all parts, without another checkout", () => {
  const options = parsed([]);
  assert.equal(options.isQuick, false);
  assert.deepEqual(options.rates, RATES);
  assert.deepEqual(wantedParts(options), ["throughput", "latency", "backlog", "flatness", "memory", "features"]);
  assert.deepEqual(wantedSubjects(options, SUBJECTS), SUBJECTS.filter((subject) => subject !== "other"));
});

Deno.test("parseOptions() accepts --only with a space, with = and more than once", () => {
  const options = parsed(["--quick", "--only", "memory,latency", "--only=throughput"]);
  assert.equal(options.isQuick, true);
  assert.deepEqual(wantedParts(options), ["throughput", "latency", "memory"]);
});

Deno.test("parseOptions() with --compare measures the other checkout, in the parts that compare subjects", () => {
  const options = parsed(["--compare", "/tree", "--rounds=5", "--rates", "100,1000"]);
  assert.equal(options.compare, "/tree");
  assert.equal(options.rounds, 5);
  assert.deepEqual(options.rates, [100, 1000]);
  assert.deepEqual(wantedParts(options), ["throughput", "latency", "backlog"]);
  assert.deepEqual(wantedSubjects(options, SERVICES), SERVICES);
  assert.deepEqual(wantedParts(parsed(["--compare=/tree", "--only=memory"])), ["memory"]);
});

Deno.test("parseOptions() accepts subjects in any order; they are measured in the order of the table", () => {
  const options = parsed(["--subjects", "bullmq,floor", "--subjects=service"]);
  assert.deepEqual(wantedSubjects(options, SUBJECTS), ["floor", "service", "bullmq"]);
  assert.deepEqual(wantedSubjects(options, SERVICES), ["service"]);
});

Deno.test("parseOptions() reports an invalid argument or value", () => {
  for (
    const args of [
      ["--fast"],
      ["--fast=1"],
      ["throughput"],
      ["--only"],
      ["--only", "speed"],
      ["--only="],
      ["--quick=1"],
      ["--only", "toString"],
      ["--subjects", "redis"],
      ["--subjects"],
      ["--subjects=other"],
      ["--rounds", "0"],
      ["--rounds=1.5"],
      ["--rates", "100,fast"],
      ["--rates="],
      ["--compare"],
    ]
  ) {
    assert.ok("problem" in parseOptions(args), args.join(" "));
  }
});

Deno.test("parseOptions() names an unknown argument", () => {
  for (const args of [["--quick", "--fast", "yes"], ["--fast"]]) {
    assert.deepEqual(parseOptions(args), { problem: "Unknown argument --fast" });
  }
});

Deno.test("parseOptions() accepts --docs only for full runs", () => {
  for (const more of ["--quick", "--only=memory", "--subjects=floor", "--rounds=2", "--rates=10", "--compare=/tree"]) {
    assert.ok("problem" in parseOptions(["--docs", more]), more);
  }
  assert.equal(parsed(["--docs"]).docs, true);
});

function parsed(args: readonly string[]): Options {
  const options = parseOptions(args);
  assert.ok(!("problem" in options));
  return options;
}
