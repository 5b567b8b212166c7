/** Every kind of dead export and file is found, and nothing that is used. */
import assert from "node:assert/strict";
import { compile } from "./compile.ts";
import { checkDeadExports } from "./dead_exports.ts";

async function breaches(files: Record<string, string>): Promise<string[]> {
  const project = new Map(Object.entries(files));
  const found = await checkDeadExports(project, compile(project));
  return found.map(({ file, line, message }) => `${file}:${line}: ${message}`).sort();
}

/** knip leaves timers behind, which are not leaks of this project. */
function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

test("checkDeadExports() finds exports that no other file uses, functions and types", async () => {
  const files = {
    "main.ts": `import { used } from "./src/a.ts";\nconsole.log(used);`,
    "src/a.ts": `export const used = inner();
export function inner() {
  return 1;
}
export type Forgotten = number;
export class Left {}
`,
  };
  assert.deepEqual(await breaches(files), [
    "src/a.ts:2: No other file uses the export inner",
    "src/a.ts:5: No other file uses the export Forgotten",
    "src/a.ts:6: No other file uses the export Left",
  ]);
});

test("checkDeadExports() finds exports and files of src that only tests use", async () => {
  const files = {
    "main.ts": `import { used } from "./src/a.ts";\nconsole.log(used);`,
    "src/a.ts": `export const used = tested();\nexport function tested() {}\nexport function testedOnly() {}\n`,
    "src/a_test.ts": `import { tested, testedOnly } from "./a.ts";\nimport "./examples.ts";\ntested(testedOnly());`,
    "src/examples.ts": `export const example = 1;`,
    "src/b_test.ts":
      `import { example } from "./examples.ts";\nimport "../scripts/servers/redis.ts";\nconsole.log(example);`,
    "scripts/servers/redis.ts": "console.log();",
  };
  assert.deepEqual(await breaches(files), [
    "src/a.ts:3: Only tests use the export testedOnly",
    "src/examples.ts:1: Only tests use this file",
  ]);
});

test("checkDeadExports() does not count recursion, or another symbol with the same name, as a use", async () => {
  const files = {
    "main.ts": `import { used } from "./src/a.ts";\nconsole.log(used);`,
    "src/a.ts": `export const used = ({ same }: { same: number }) => same;
export function same() {}
export function recursive(): void {
  recursive();
}
export const parts = 1;
export const whole = { parts };
console.log(whole);
`,
    "src/a_test.ts":
      `import { parts, recursive, same, whole } from "./a.ts";\nconsole.log(parts, recursive, same, whole);`,
  };
  assert.deepEqual(await breaches(files), [
    "src/a.ts:2: Only tests use the export same",
    "src/a.ts:3: Only tests use the export recursive",
  ]);
});

test("checkDeadExports() finds files that nothing imports or runs, also helpers of tests", async () => {
  const files = {
    "main.ts": "",
    "src/a.ts": "export const a = 1;",
    "scripts/chore.ts": "if (import.meta.main) console.log();",
    "scripts/left_over.ts": "console.log();",
    "tests/support/helper.ts": "export const helper = 1;",
  };
  assert.deepEqual(await breaches(files), [
    "scripts/left_over.ts:1: Nothing imports or runs this file",
    "src/a.ts:1: Nothing imports or runs this file",
    "tests/support/helper.ts:1: Nothing imports or runs this file",
  ]);
});

test("checkDeadExports() accepts the producer module, and all forms of imports and re-exports", async () => {
  const files = {
    "main.ts": `const { a } = await import("./src/a.ts");
import type { B } from "./src/b.ts";
import * as c from "./src/c.ts";
import pg from "pg";
console.log(a() as B, c.one, pg);
`,
    "src/a.ts": "export interface A {}\nexport function a(): A { return 1; }",
    "src/b.ts": "export interface B {}",
    "src/c.ts": `export { one } from "./d.ts";`,
    "src/d.ts": "export const one = 1;",
    "src/producer/producer.ts": "export function publishIntent() {}",
  };
  assert.deepEqual(await breaches(files), []);
});
