// What would steer a terminal or reverse a line is escaped, and nothing else is touched.

import assert from "node:assert/strict";
import fc from "fast-check";
import { escapeControls, escapeControlsInJson } from "./control_characters.ts";

const OBEYED = [
  "\x1b",
  "\x07",
  "\x7f",
  "\x9b",
  "\x85",
  "\u202e",
  "\u2066",
  "\u200b",
  "\u2028",
  "\ufeff",
  "\u{e0001}",
  "\ud800",
];

Deno.test("escapeControls() leaves nothing that a terminal obeys", () => {
  for (const character of OBEYED) {
    const text = escapeControls(`a${character}b`);
    assert.match(text, /^a(\\u[0-9a-f]{4}){1,2}b$/);
  }
  assert.equal(escapeControls("Zoë 山田 🎲 — “x”"), "Zoë 山田 🎲 — “x”");
});

Deno.test("escapeControlsInJson() changes no value, and leaves nothing that a terminal obeys", () => {
  fc.assert(fc.property(fc.json(), fc.array(fc.constantFrom(...OBEYED, "é", "山", "a")), (json, characters) => {
    const value = [JSON.parse(json), characters.join("")];
    for (const indent of [undefined, 2]) {
      const text = escapeControlsInJson(JSON.stringify(value, null, indent));
      assert.deepEqual(JSON.parse(text), value);
      assert.doesNotMatch(text, /[\x7f-\x9f\p{Cf}\p{Cs}\u2028\u2029]/u);
    }
  }));
});
