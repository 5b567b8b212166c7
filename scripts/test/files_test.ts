/** Which test files a path means, and which of them have separate dependencies. */
import assert from "node:assert/strict";
import { ownConfiguration, testFiles } from "./files.ts";

Deno.test("testFiles() returns the tests below a folder in order, and other arguments unchanged", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/b`);
    for (const name of ["b/two_test.ts", "b/two.ts", "a_test.ts", "c_test.ts"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    const expected = ["a_test.ts", "b/two_test.ts", "c_test.ts"].map((name) => `${folder}/${name}`);
    assert.deepEqual(testFiles(folder), expected);
    assert.deepEqual(testFiles(`${folder}/b/two.ts`), [`${folder}/b/two.ts`]);
    assert.deepEqual(testFiles("tests/**/*_test.ts"), ["tests/**/*_test.ts"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ownConfiguration() finds the deno.json of a folder below the root, at any depth", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/scripts/own/deep`, { recursive: true });
    await Deno.writeTextFile(`${root}/deno.json`, "{}");
    await Deno.writeTextFile(`${root}/scripts/own/deno.json`, "{}");
    assert.equal(ownConfiguration("scripts/own/a_test.ts", root), `${root}/scripts/own/deno.json`);
    assert.equal(ownConfiguration("scripts/own/deep/a_test.ts", root), `${root}/scripts/own/deno.json`);
    assert.equal(ownConfiguration("scripts/a_test.ts", root), undefined);
    assert.equal(ownConfiguration("a_test.ts", root), undefined);
    assert.equal(ownConfiguration("/elsewhere/a_test.ts", root), undefined);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
