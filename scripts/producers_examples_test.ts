// The examples of docs/producers.md, each run as it stands there against a running service that must accept what it sends.
// A language that is not on this machine can't be run: its example must be there all the same.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { openRig } from "../tests/support/rig.ts";
import { outcomeOf } from "../tests/support/outcome.ts";

const ROOT = resolve(import.meta.dirname!, "..");
const EXAMPLES = [...Deno.readTextFileSync(`${ROOT}/docs/producers.md`).matchAll(/^```(\w+)\n(.*?)^```$/gms)]
  .map(([, language, text]) => ({ language: language!, text: text! }));

/** How an example's file is run, or nothing where the language isn't here. */
const RUNNERS: Readonly<
  Record<string, { readonly file: string; readonly command: (path: string) => string[] | undefined }>
> = {
  sh: { file: "example.sh", command: (path) => ["sh", "-e", path] },
  ts: {
    file: "example.ts",
    command: (path) => [Deno.execPath(), "run", "--allow-all", "--check", `--config=${ROOT}/deno.json`, path],
  },
  python: { file: "example.py", command: (path) => withPython(path) },
  go: { file: "main.go", command: (path) => has("go", "version") ? ["sh", "-c", GO, path] : undefined },
};
const GO = 'cd "$(dirname "$0")" && go mod init example && go mod tidy && go run .';

Deno.test("docs/producers.md has examples in every language", () => {
  assert.deepEqual(new Set(EXAMPLES.map(({ language }) => language)), new Set(["sh", "ts", "python", "go"]));
});

Deno.test("the examples of docs/producers.md send intents that the service accepts", async () => {
  await using rig = await openRig();
  await rig.start();
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/notification-service`, serviceScript(), { mode: 0o755 });
    let sent = 0;
    for (const [index, { language, text }] of EXAMPLES.entries()) {
      const { file, command } = RUNNERS[language]!;
      await Deno.mkdir(`${folder}/${index}`);
      const path = `${folder}/${index}/${file}`;
      await Deno.writeTextFile(path, text);
      const [program, ...args] = command(path) ?? [];
      if (program === undefined) continue;
      const { host, port, password, db } = rig.keySpace;
      const { success, stdout, stderr } = await new Deno.Command(program, {
        args,
        env: {
          REDIS_URL: `redis://default:${password}@${host}:${port}/${db}`,
          PATH: `${folder}:${Deno.env.get("PATH")}`,
        },
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      assert.equal(await rig.redis.xlen(rig.intentsStream), ++sent, `the ${language} example sends one intent`);
      const entryId = new TextDecoder().decode(stdout).trim();
      await rig.settled();
      const { record, malformed } = await outcomeOf(rig, entryId);
      assert.ok(record !== undefined, `${language}: ${malformed?.failure_message}`);
    }
    assert.ok(sent >= 4);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

function serviceScript(): string {
  const executable = Deno.env.get("NOTIFICATION_SERVICE_BIN");
  const command = executable ? resolve(ROOT, executable) : `${Deno.execPath()} run --quiet --allow-all ${ROOT}/main.ts`;
  return `#!/bin/sh\nexec ${command} "$@"\n`;
}

/** With redis-py: the machine's, or one in an environment that is kept for the next run. */
function withPython(path: string): string[] | undefined {
  if (has("python3", "-c", "import redis")) return ["python3", path];
  const environment = `${
    Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`
  }/notification-service/python`;
  const python = `${environment}/bin/python`;
  if (!has(python, "-c", "import redis")) {
    if (!has("python3", "-m", "venv", environment) || !has(python, "-m", "pip", "install", "--quiet", "redis")) {
      return undefined;
    }
  }
  return [python, path];
}

function has(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false; // not in PATH
  }
}
