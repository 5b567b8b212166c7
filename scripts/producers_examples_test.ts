/**
 * Each example in docs/producers.md is run unchanged against a running service, which must accept its intents. If a
 * language is not installed, its step is shown as ignored, with the reason in its name.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { outcomeOf } from "../tests/support/outcome.ts";
import { openRig } from "../tests/support/rig.ts";
import type { Rig } from "../tests/support/service_rig.ts";
import { isAvailable, type Language, LANGUAGES } from "./contracts/example_languages.ts";

const ROOT = resolve(import.meta.dirname!, "..");
const EXAMPLES = [...Deno.readTextFileSync(`${ROOT}/docs/producers.md`).matchAll(/^```(\w+)\n(.*?)^```$/gms)]
  .map(([, language, text]) => ({ language: language!, text: text! }));

Deno.test("docs/producers.md has examples in every language", () => {
  assert.deepEqual(new Set(EXAMPLES.map(({ language }) => language)), new Set(Object.keys(LANGUAGES)));
});

Deno.test("the examples of docs/producers.md send intents that the service accepts", async (test) => {
  await using rig = await openRig();
  await rig.start();
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/notification-service`, serviceScript(), { mode: 0o755 });
    for (const [index, { language: name, text }] of EXAMPLES.entries()) {
      const language = LANGUAGES[name]!;
      const ignore = !await isAvailable(language);
      await test.step({
        name: ignore
          ? `${index + 1}: ${name} NOT RUN: ${language.needs} is missing on this machine`
          : `${index + 1}: ${name}`,
        ignore,
        // The connections of the rig exist longer than a step.
        ...{ sanitizeOps: false, sanitizeResources: false },
        fn: async () => {
          const path = `${folder}/${index}/${language.file}`;
          await Deno.mkdir(`${folder}/${index}`);
          await Deno.writeTextFile(path, text);
          await runExample(rig, { language, path, programs: folder });
        },
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface Example {
  readonly language: Language;
  readonly path: string;
  /** The folder that contains `notification-service`. */
  readonly programs: string;
}

async function runExample(rig: Rig, { language, path, programs }: Example): Promise<void> {
  const [program, ...args] = await language.command(path);
  const { host, port, password, db } = rig.keySpace;
  const sent = await rig.redis.xlen(rig.intentsStream);
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    env: {
      REDIS_URL: `redis://default:${password}@${host}:${port}/${db}`,
      PATH: `${programs}:${Deno.env.get("PATH")}`,
    },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  assert.equal(await rig.redis.xlen(rig.intentsStream), sent + 1, "an example sends one intent");
  const entryId = new TextDecoder().decode(stdout).trim();
  await rig.settled();
  const { record, malformed } = await outcomeOf(rig, entryId);
  assert.ok(record !== undefined, String(malformed?.failure_message));
}

function serviceScript(): string {
  const executable = Deno.env.get("NOTIFICATION_SERVICE_BIN");
  const command = executable ? resolve(ROOT, executable) : `${Deno.execPath()} run --quiet --allow-all ${ROOT}/main.ts`;
  return `#!/bin/sh\nexec ${command} "$@"\n`;
}
