/** Exceptions, and the exit code of the command. */
import { runCheck } from "../../tests/support/run_check.ts";
import assert from "node:assert/strict";
import { withoutExceptions } from "./check.ts";

const CHECK = new URL("check.ts", import.meta.url);
const FLAGS = ["--allow-all", "--config", new URL("deno.json", import.meta.url).pathname];

Deno.test("withoutExceptions() omits breaches with an exception, and reports an exception that is not needed", () => {
  const breaches = [{ file: "src/a.ts", line: 3, message: "No." }, { file: "src/b.ts", line: 4, message: "No." }];
  assert.deepEqual(withoutExceptions(breaches, ["src/a.ts: No.", "src/c.ts: No."]), [
    "src/b.ts:4: No.",
    "scripts/unused/exceptions.ts: Delete this exception, nothing needs it: src/c.ts: No.",
  ]);
});

Deno.test("check.ts fails and names file and line", async () => {
  const root = await Deno.makeTempDir();
  try {
    for (const folder of ["src", "scripts", "tests"]) await Deno.mkdir(`${root}/${folder}`);
    await Deno.writeTextFile(`${root}/main.ts`, `import { a } from "./src/a.ts";\na();`);
    await Deno.writeTextFile(
      `${root}/src/a.ts`,
      "export function a(b?: number) {\n  return b;\n}\nexport const c = 1;\n",
    );
    assert.deepEqual(await runCheck(CHECK, root, FLAGS), {
      code: 1,
      stderr: "src/a.ts:4: No other file uses the export c\nsrc/a.ts:1: Nothing sets the option b\n",
    });
    await Deno.writeTextFile(`${root}/src/a.ts`, "export function a() {}\n");
    assert.deepEqual(await runCheck(CHECK, root, FLAGS), { code: 0, stderr: "" });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
