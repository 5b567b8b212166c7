/** Lines for a terminal keep to its width, are aligned for all characters, and contain no control characters. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { displayWidth } from "./display_width.ts";
import { list, table, wrap } from "./terminal.ts";

Deno.test("table() aligns columns with wide characters and emoji", () => {
  const lines = table(["NAME", "B", "C"], [["山田", "x", "y"], ["🎲🎲", "x", "y"], ["ab", "x", "y"]]);
  const columns = lines.slice(1).map((line) => displayWidth(line.slice(0, line.indexOf("x"))));
  assert.deepEqual(columns, [8, 8, 8]);
});

const text = fc.array(
  fc.constantFrom("a", "b", " ", ",", "山", "🎲", "e\u0301", "\x1b", "\x9b", "\u202e", "\n", "long-word-"),
  { maxLength: 60 },
).map((parts) => parts.join(""));

Deno.test("every line keeps to the width and contains no control characters", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(text, text, text), { maxLength: 4 }),
      text,
      fc.constantFrom(60, 80),
      (rows, value, width) => {
        const lines = [
          ...table(["FIRST", "SECOND", "THIRD"], rows, { width }),
          ...list([["name", value], ["other name", "x"]], { width }),
          ...wrap(value, 6, { width }),
        ];
        for (const line of lines) {
          assert.ok(displayWidth(line) <= width, JSON.stringify(line));
          assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\u2028\u2029]/u);
        }
      },
    ),
  );
});

Deno.test("list() and wrap() leave out only white space", () => {
  fc.assert(fc.property(text, (value) => {
    const without = (text: string) => text.replace(/\s/g, "");
    const printable = without(
      value.replace(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`),
    );
    assert.equal(without(list([["n", value]], { width: 30 }).join("")), `n${printable}`);
    assert.equal(without(wrap(value, 2, { width: 30 }).join("")), printable);
  }));
});
