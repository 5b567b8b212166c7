/** The check finds each kind of violation with its line, and the command then fails. */
import { runCheck } from "../tests/support/run_check.ts";
import assert from "node:assert/strict";
import { checkFile } from "./check_layers.ts";

const breaches = (file: string, source: string) =>
  checkFile(file, source).map(({ line, message }) => `${line}: ${message}`);

const CHECK = new URL("check_layers.ts", import.meta.url);

Deno.test("checkFile() allows notification to import only itself, payload libraries and Node's built-ins", () => {
  const source = `import { z } from "zod";
import { Ajv2020 } from "ajv/dist/2020.js";
import { RegExpParser } from "@eslint-community/regexpp";
import { createHash } from "node:crypto";
import type {
  Intent,
} from "../intake/intent_consumer.ts";
export { x } from "./route.ts";
export * from "../clock.ts";
import "ioredis";
import fc from "fast-check";
`;
  assert.deepEqual(breaches("src/notification/decode.ts", source), [
    "1: src/notification may not import zod",
    "7: src/notification may not import src/intake/intent_consumer.ts",
    "9: src/notification may not import src/clock.ts",
    "10: src/notification may not import ioredis",
    "11: src/notification may not import fast-check",
  ]);
  assert.equal(checkFile("src/notification/decode_test.ts", 'import fc from "fast-check";').length, 0);
});

Deno.test("checkFile() allows the producer module to import only notification", () => {
  const source = `import { decode } from "../notification/decode.ts";
import { type IntentTypes } from "./intent_types.ts";
import { readEnvironment } from "../config/env.ts";
import { Redis } from "ioredis";
`;
  assert.deepEqual(breaches("src/producer/encode_intent.ts", source), [
    "3: src/producer may not import src/config/env.ts",
    "4: src/producer may not import ioredis",
  ]);
  assert.deepEqual(breaches("src/producer/producer_test.ts", 'import assert from "node:assert/strict";'), []);
});

Deno.test("checkFile() finds a stage that imports another stage", () => {
  const source = `import { claim } from "../publish/claim.ts";\nimport { pool } from "../postgres/pool.ts";\n`;
  for (const stage of ["intake", "retention", "repair"]) {
    assert.deepEqual(breaches(`src/${stage}/accept.ts`, source), [
      `1: src/${stage} may not import src/publish/claim.ts: stages do not import each other`,
    ]);
  }
  assert.deepEqual(breaches("src/publish/record.ts", source), []);
  assert.deepEqual(breaches("src/service.ts", source.replaceAll("../", "./")), []);
});

Deno.test("checkFile() allows stages to import relay, and relay to import the nouns and the clock", () => {
  const source = `import { Batch } from "../relay/batch.ts";\n`;
  for (const layer of ["intake", "publish", "repair", "commands"]) {
    assert.deepEqual(breaches(`src/${layer}/a.ts`, source), []);
  }
  assert.deepEqual(breaches("src/backlog/a.ts", source), [
    "1: src/backlog may not import src/relay/batch.ts: support folders import no stage",
  ]);
  const imports = [
    "../notification/route.ts",
    "../lifecycle/outage.ts",
    "../clock.ts",
    "../redis/time.ts",
    "../intake/a.ts",
  ];
  assert.deepEqual(breaches("src/relay/batch.ts", imports.map((file) => `import "${file}";`).join("\n")), [
    "2: src/relay may not import src/lifecycle/outage.ts",
    "4: src/relay may not import src/redis/time.ts",
    "5: src/relay may not import src/intake/a.ts",
  ]);
});

Deno.test("checkFile() allows only commands to import the service or a command", () => {
  const source = `import "../service.ts";\nimport "../commands/stores.ts";\n`;
  assert.equal(breaches("src/redis/connection.ts", source).length, 2);
  assert.equal(breaches("src/publish/publisher.ts", source).length, 2);
  assert.deepEqual(breaches("src/commands/run.ts", source), []);
});

Deno.test("checkFile() allows only tests to import other folders than src, and finds an unknown layer", () => {
  const source = `import "../../tests/support/wait.ts";\n`;
  assert.deepEqual(breaches("src/redis/connection.ts", source), ["1: src may not import tests/support/wait.ts"]);
  assert.deepEqual(breaches("src/redis/connection_test.ts", source), []);
  assert.deepEqual(breaches("src/util/strings.ts", `import "../clock.ts";`), [
    "1: src/util is no known layer: add it to MAY_IMPORT in scripts/check_layers.ts",
  ]);
});

Deno.test("checkFile() finds a support folder that imports a stage", () => {
  const source = `const { purge } = await import("../retention/purge.ts");`;
  assert.equal(breaches("src/postgres/pool.ts", source).length, 1);
  assert.equal(breaches("src/clock.ts", `import "./intake/accept.ts";`).length, 1);
  assert.equal(breaches("src/commands/status.ts", source).length, 0);
});

Deno.test("checkFile() finds code outside src/config that reads the environment, but not comments", () => {
  const source = `// Deno.env is elsewhere\nconst home = Deno.env.get("HOME");\nconst path = process.env.PATH;\n`;
  assert.deepEqual(breaches("src/redis/connection.ts", source), [
    "2: Deno.env outside src/config and main.ts",
    "3: process.env outside src/config and main.ts",
  ]);
  assert.deepEqual(breaches("src/config/env.ts", source), []);
  assert.deepEqual(breaches("main.ts", source), []);
});

Deno.test("checkFile() finds code that reads the time without the clock", () => {
  assert.deepEqual(breaches("src/config/env.ts", "const now = Date.now();"), ["1: Date.now outside src/clock.ts"]);
});

Deno.test("check_layers.ts fails and names file and line", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/src/intake`, { recursive: true });
    await Deno.writeTextFile(`${root}/main.ts`, "");
    await Deno.writeTextFile(`${root}/src/intake/accept.ts`, `\nimport "../publish/claim.ts";\n`);
    const { code, stderr } = await runCheck(CHECK, root);
    assert.equal(code, 1);
    assert.match(stderr, /^src\/intake\/accept\.ts:2: src\/intake may not import src\/publish/);
    await Deno.writeTextFile(`${root}/src/intake/accept.ts`, "");
    assert.deepEqual(await runCheck(CHECK, root), { code: 0, stderr: "" });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
