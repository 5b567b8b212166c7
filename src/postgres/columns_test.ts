// Columns as one text each: what goes in comes out, whatever it is.

import assert from "node:assert/strict";
import fc from "fast-check";
import { joinColumn, SEPARATOR, splitColumn } from "./columns.ts";

Deno.test("joinColumn() and splitColumn() keep every value", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("\x1f", "a", "'", '"', "\\", "{", "}", ",", "NULL") }),
  );
  fc.assert(fc.property(fc.array(value, { minLength: 1 }), (values) => {
    assert.deepEqual(splitColumn(joinColumn(values), values.length), values);
  }));
});

Deno.test("splitColumn() gives no values for no rows", () => {
  assert.equal(joinColumn([]), "");
  assert.deepEqual(splitColumn(null, 0), []);
  assert.deepEqual(splitColumn("", 0), []);
  assert.deepEqual(splitColumn("", 1), [""]);
});

Deno.test("joinColumn() writes numbers as they are read back", () => {
  assert.deepEqual(splitColumn(joinColumn([0, -1, 1763000000000]), 3), ["0", "-1", "1763000000000"]);
});

Deno.test("the separator can't be guessed", () => {
  assert.match(SEPARATOR.slice(1, -1), /^[0-9a-z]{8,13}$/);
  assert.deepEqual([SEPARATOR.at(0), SEPARATOR.at(-1)], ["\x1f", "\x1f"]);
});
