/** JSON that is refused although JSON.parse accepts it; parseJsonText() never throws. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_JSON_DEPTH, parseJsonText } from "./json_text.ts";

const messageOf = (text: string) => {
  const json = parseJsonText(text);
  return json.kind === "refused" ? json.message : "ok";
};

Deno.test("parseJsonText() refuses text that PostgreSQL or a reader of the outbound streams would refuse", () => {
  const examples: [string, string][] = [
    ['"\\u0000"', "contains \\u0000"],
    ['{"\\u0000":1}', "contains \\u0000"],
    ['{"a":"\\u0000","a":1}', "contains \\u0000"],
    ['"\\\\\\u0000"', "contains \\u0000"],
    ['"\\ud83d"', "contains a lone surrogate"],
    ['"\\uDE00"', "contains a lone surrogate"],
    ['"\\ud83d\\ud83d\\ude00"', "contains a lone surrogate"],
    ['"\\ude00\\ud83d"', "contains a lone surrogate"],
    ['"\\ud83d \\ude00"', "contains a lone surrogate"],
    ['["\\ud83d","\\ude00"]', "contains a lone surrogate"],
    ['"\\ud83d\\n\\ude00"', "contains a lone surrogate"],
    ['"\\ud83d😀"', "contains a lone surrogate"],
  ];
  for (const [text, message] of examples) assert.equal(messageOf(text), message, text);
});

Deno.test("parseJsonText() accepts text that only looks similar", () => {
  const examples = [
    '"\\\\u0000"',
    '"\\\\ud83d"',
    '"\\ud83d\\ude00"',
    '"\\uD83D\\uDE00\\ud83d\\ude00"',
    '"u0000"',
    '"\\u00001"',
  ];
  for (const text of examples.slice(0, -1)) {
    assert.deepEqual(parseJsonText(text), { kind: "ok", value: JSON.parse(text) });
  }
  assert.equal(messageOf(examples.at(-1)!), "contains \\u0000");
});

Deno.test("parseJsonText() refuses exactly those strings that contain NUL or a lone surrogate", () => {
  const units = ["\\u0000", "\\ud83d", "\\uDE00", "\\\\", '\\"', "u0000", "ud83d", "\\u0041", "\\n", "a", "😀", "\\u"];
  const text = fc.array(fc.constantFrom(...units), { maxLength: 8 }).map((parts) => `"${parts.join("")}"`);
  fc.assert(
    fc.property(text, (json) => {
      let value: string | undefined;
      try {
        value = JSON.parse(json);
      } catch {
        assert.notEqual(messageOf(json), "ok");
        return;
      }
      const storable = value!.isWellFormed() && !value!.includes("\0");
      assert.deepEqual(parseJsonText(json).kind, storable ? "ok" : "refused", json);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("parseJsonText() accepts a nesting of 100 and no more", () => {
  const level = fc.constantFrom<[string, string]>(["[", "]"], ['{"a":', "}"], ['["]]}",', "]"], [
    '{"[[\\"{":1, "b": ',
    "}",
  ]);
  fc.assert(fc.property(fc.array(level, { minLength: 98, maxLength: 103 }), fc.boolean(), (levels, wide) => {
    const nested = levels.map(([open]) => open).join("") + "1" + levels.toReversed().map(([, close]) => close).join("");
    const depth = levels.length + (wide ? 1 : 0);
    const message = messageOf(wide ? `[[],${nested},[]]` : nested);
    assert.equal(message, depth > MAX_JSON_DEPTH ? "is nested deeper than 100 levels" : "ok");
  }));
});

Deno.test("parseJsonText() ignores brackets in a string, and handles megabytes of them", () => {
  assert.equal(messageOf(JSON.stringify("[".repeat(1_000) + '\\"' + "{".repeat(1_000))), "ok");
  for (const part of ["[", "{", '{"a":', '"', "\\", "\\u", '"\\ud83d']) {
    assert.notEqual(messageOf(part.repeat(1_000_000)), "ok");
  }
});

Deno.test("parseJsonText() returns the value of any other JSON like JSON.parse", () => {
  fc.assert(fc.property(fc.json({ maxDepth: 20 }), fc.constantFrom("", " ", "\n"), (json, space) => {
    const text = space + json;
    const expected = JSON.parse(text);
    if (!json.includes("\\u")) assert.deepEqual(parseJsonText(text), { kind: "ok", value: expected });
  }));
});

Deno.test("parseJsonText() never throws", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseJsonText(text)));
});
