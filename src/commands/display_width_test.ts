/** How many columns text takes on a terminal, and how much of it fits. */
import assert from "node:assert/strict";
import { displayWidth, fitting } from "./display_width.ts";

const WIDTHS: readonly (readonly [string, number])[] = [
  ["", 0],
  ["abc", 3],
  ["Zoë", 3],
  ["Zoe\u0308", 3],
  ["山田", 4],
  ["한국어", 6],
  ["ｆｕｌｌ", 8],
  ["ﾊﾝ", 2],
  ["🎲", 2],
  ["❤️", 2],
  ["👩‍👩‍👧", 2],
  ["🇩🇪", 2],
  ["— “x” …", 7],
];

Deno.test("displayWidth() counts columns, not characters", () => {
  for (const [text, width] of WIDTHS) assert.equal(displayWidth(text), width, text);
});

Deno.test("fitting() cuts between visible characters, and always returns one", () => {
  assert.equal(fitting("山田太郎", 5), "山田");
  assert.equal(fitting("a🎲b", 2), "a");
  assert.equal(fitting("e\u0301e\u0301", 1), "e\u0301");
  assert.equal(fitting("山", 1), "山");
  assert.equal(fitting("abc", 0), "a");
  for (const [text, width] of WIDTHS) assert.equal(fitting(text, width), text);
});
