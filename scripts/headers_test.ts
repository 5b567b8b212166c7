/** Every file opens with a block that says what it is for, in the same form everywhere. */
import assert from "node:assert/strict";
import { sourceFiles } from "./imports.ts";

const ROOT = new URL("../", import.meta.url);

Deno.test("every file opens with a block that says what it is for", () => {
  const files = ["src", "scripts"].flatMap((folder) => [...sourceFiles(ROOT, folder)])
    .filter((file) => !(file.startsWith("src/") && file.endsWith("_test.ts")));
  const opening = (file: string) => Deno.readTextFileSync(new URL(file, ROOT)).slice(0, 3);
  assert.deepEqual(files.filter((file) => opening(file) !== "/**"), []);
});
