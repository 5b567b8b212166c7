/** Numbers that JavaScript would write in another way, or can't hold. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseKeepingNumbers, writtenNumber } from "./json_numbers.ts";

const NUMBERS = ["0", "-0", "1.0", "1.10", "1E+2", "1e400", "0.1e-7", "12345678901234567890"];

Deno.test("parseKeepingNumbers() keeps each number as it is written, at any depth", () => {
  for (const number of NUMBERS) {
    for (const text of [number, `[${number}]`, `{"a":[{"b":${number}},"${number}"]}`]) {
      assert.equal(JSON.stringify(parseKeepingNumbers(text)), text);
    }
  }
});

Deno.test("writtenNumber() returns the text of a number, and undefined for any other value", () => {
  assert.deepEqual(NUMBERS.map((number) => writtenNumber(parseKeepingNumbers(number))), NUMBERS);
  for (const text of ["null", "true", '"1"', "[1]", "{}", '{"rawJSON":"1"}']) {
    assert.equal(writtenNumber(parseKeepingNumbers(text)), undefined, text);
  }
});

Deno.test("parseKeepingNumbers() refuses what is not JSON", () => {
  for (const text of ["", "{", "01", "NaN"]) assert.throws(() => parseKeepingNumbers(text), SyntaxError);
});

Deno.test("parseKeepingNumbers() parses everything else like JSON.parse", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    assert.deepEqual(JSON.parse(JSON.stringify(parseKeepingNumbers(text))), JSON.parse(text));
  }));
});
