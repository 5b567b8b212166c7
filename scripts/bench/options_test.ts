import assert from "node:assert/strict";
import { parseOptions, wantedParts } from "./options.ts";

Deno.test("parseOptions() takes a full run for granted", () => {
  assert.deepEqual(parseOptions([]), { isQuick: false, only: [], list: false, help: false, docs: false });
});

Deno.test("parseOptions() takes --only with a space, with = and more than once", () => {
  const options = parseOptions(["--quick", "--only", "memory,latency", "--only=throughput"]);
  assert.ok(!("problem" in options));
  assert.equal(options.isQuick, true);
  assert.deepEqual(wantedParts(options), ["throughput", "latency", "memory"]);
});

Deno.test("parseOptions() refuses what it does not know", () => {
  for (
    const args of [["--fast"], ["throughput"], ["--only"], ["--only", "speed"], ["--only="], ["--quick=1"], [
      "--only",
      "toString",
    ]]
  ) {
    assert.ok("problem" in parseOptions(args), args.join(" "));
  }
});

Deno.test("parseOptions() puts only full runs into the documentation", () => {
  assert.ok("problem" in parseOptions(["--docs", "--quick"]));
  assert.ok("problem" in parseOptions(["--docs", "--only", "memory"]));
  assert.ok(!("problem" in parseOptions(["--docs"])));
});
