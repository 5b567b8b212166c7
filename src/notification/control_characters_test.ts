/** Characters that must not reach a terminal or a log unescaped. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { escapeControls, hasControls, printableJson } from "./control_characters.ts";

/** C0, DEL, C1, separators, direction, invisible ones (one of them beyond the BMP), half a pair. */
const CONTROLS: Readonly<Record<string, string>> = {
  "\0": "\\u0000",
  "\x1b": "\\u001b",
  "\n": "\\u000a",
  "\x7f": "\\u007f",
  "\x9b": "\\u009b",
  "\u2028": "\\u2028",
  "\u202e": "\\u202e",
  "\u2066": "\\u2066",
  "\u061c": "\\u061c",
  "\u200d": "\\u200d",
  "\ufeff": "\\ufeff",
  "\u{e0041}": "\\udb40\\udc41",
  "\ud800": "\\ud800",
};
const text = fc.string({
  unit: fc.oneof(fc.constantFrom(...Object.keys(CONTROLS)), fc.string({ unit: "binary", minLength: 1, maxLength: 1 })),
});

Deno.test("escapeControls() escapes every kind, and hasControls() finds it", () => {
  for (const [character, escape] of Object.entries(CONTROLS)) {
    assert.equal(escapeControls(`a${character}b${character}`), `a${escape}b${escape}`);
    assert.ok(hasControls(`a${character}`), escape);
  }
});

Deno.test("escapeControls() keeps visible characters", () => {
  for (const plain of ["", "a b", 'quote " \\u001b', "é ☃ 𝄞 שלום 你好"]) {
    assert.equal(escapeControls(plain), plain);
    assert.equal(hasControls(plain), false);
  }
});

Deno.test("printableJson() is the same value without control characters", () => {
  fc.assert(fc.property(text, (text) => {
    const value = { [text]: [text] };
    for (const indent of [0, 2]) {
      const json = printableJson(value, { indent });
      assert.deepEqual(JSON.parse(json), value);
      assert.ok(!hasControls(indent === 0 ? json : json.replaceAll("\n", "")), json);
    }
  }));
});

Deno.test("escapeControls() leaves no control character in any text", () => {
  fc.assert(fc.property(text, (text) => assert.equal(hasControls(escapeControls(text)), false)));
});
