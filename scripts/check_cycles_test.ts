/** The check finds the import that closes a cycle, and the command then fails. */
import { runCheck } from "../tests/support/run_check.ts";
import assert from "node:assert/strict";
import { findCycles } from "./check_cycles.ts";

const cycles = (sources: Record<string, string>) => findCycles(new Map(Object.entries(sources)));

const CHECK = new URL("check_cycles.ts", import.meta.url);

Deno.test("findCycles() finds two files that import each other, by any form of import", () => {
  for (const back of [`import type { A } from "./a.ts";`, `export * from "./a.ts";`, `await import("./a.ts");`]) {
    assert.deepEqual(cycles({ "src/a.ts": `import { b } from "./b.ts";`, "src/b.ts": `\n${back}` }), [
      "src/b.ts:2: Import cycle: src/a.ts → src/b.ts → src/a.ts",
    ]);
  }
});

Deno.test("findCycles() finds every cycle once, also a long one and one of a single file", () => {
  const sources = {
    "src/a.ts": `import "./b.ts";`,
    "src/b.ts": `import "../tests/c.ts";\nimport "./b.ts";`,
    "tests/c.ts": `import "../src/a.ts";`,
    "tests/d.ts": `import "../src/a.ts";`,
  };
  assert.deepEqual(cycles(sources), [
    "tests/c.ts:1: Import cycle: src/a.ts → src/b.ts → tests/c.ts → src/a.ts",
    "src/b.ts:2: Import cycle: src/b.ts → src/b.ts",
  ]);
});

Deno.test("findCycles() accepts a file that is imported by two others, and imports of packages and data", () => {
  const sources = {
    "src/a.ts": `import "./b.ts";\nimport "./c.ts";`,
    "src/b.ts": `import "./c.ts";`,
    "src/c.ts": `import "pg";\nimport catalog from "./catalog.json" with { type: "json" };`,
  };
  assert.deepEqual(cycles(sources), []);
});

Deno.test("check_cycles.ts fails and names file and line", async () => {
  const root = await Deno.makeTempDir();
  try {
    for (const folder of ["src", "scripts", "tests"]) await Deno.mkdir(`${root}/${folder}`);
    await Deno.writeTextFile(`${root}/src/a.ts`, `import "./b.ts";`);
    await Deno.writeTextFile(`${root}/src/b.ts`, `import "./a.ts";`);
    assert.deepEqual(await runCheck(CHECK, root), {
      code: 1,
      stderr: "src/b.ts:1: Import cycle: src/a.ts → src/b.ts → src/a.ts\n",
    });
    await Deno.writeTextFile(`${root}/src/b.ts`, "");
    assert.deepEqual(await runCheck(CHECK, root), { code: 0, stderr: "" });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
