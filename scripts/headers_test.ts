/** Every file opens with a block comment about its purpose, in the same form everywhere: input → output. */
import assert from "node:assert/strict";
import { sourceFiles } from "./imports.ts";

const ROOT = new URL("../", import.meta.url);

Deno.test("every file begins with a block comment without labels", () => {
  for (const file of ["src", "scripts", "tests"].flatMap((folder) => [...sourceFiles(ROOT, folder)])) {
    const text = Deno.readTextFileSync(new URL(file, ROOT));
    const header = /^\/\*\*[^]*?\*\//.exec(text)?.[0] ?? "";
    assert.notEqual(header, "", `${file} does not open with a block comment`);
    assert.doesNotMatch(header, /(\* |\. )(In|Out|Guaranteed): /, file);
  }
});

Deno.test("no header describes input and output as what goes in and comes out", () => {
  for (const file of ["src", "scripts", "tests"].flatMap((folder) => [...sourceFiles(ROOT, folder)])) {
    const header = /^\/\*\*[^]*?\*\//.exec(Deno.readTextFileSync(new URL(file, ROOT)))?.[0] ?? "";
    const text = header.replace(/\s*\n \* ?/g, " ");
    assert.doesNotMatch(text, /\b(go(es)?|went|comes?|came) (in|out)[,;.]/, file);
    assert.doesNotMatch(text, /\bin[,;] [^.]*\bout[.,;]/, file);
  }
});
