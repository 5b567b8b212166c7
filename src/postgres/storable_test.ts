/** The text that PostgreSQL gets instead of one that it would refuse. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { storable } from "./storable.ts";

Deno.test("storable() does not change a text that can be stored", () => {
  for (const text of ["", "text", "twelve chars", "🎉 ü\n\x1f"]) assert.equal(storable(text, 12), text);
});

Deno.test("storable() replaces every NUL", () => {
  assert.equal(storable("\0a\0", 12), "\ufffda\ufffd");
});

Deno.test("storable() counts code points and cuts none in half", () => {
  assert.equal(storable("abcdef", 5), "abcde");
  assert.equal(storable("🎉🎉🎉", 3), "🎉🎉🎉");
  assert.equal(storable("🎉🎉🎉", 2), "🎉🎉");
  assert.equal(storable("a🎉🎉", 2), "a🎉");
  assert.equal(storable(`${"x".repeat(3)}🎉🎉`, 4), "xxx🎉");
});

Deno.test("storable() returns the longest allowed beginning of any text, without NUL", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.nat(40), (text, maxCodePoints) => {
    const codePoints = [...text.replaceAll("\0", "\ufffd")];
    assert.equal(storable(text, maxCodePoints), codePoints.slice(0, maxCodePoints).join(""));
  }));
});
