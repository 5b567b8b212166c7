/**
 * What keeps the service from checking payloads by a schema is found when the catalog is loaded, all of it, with its
 * place.
 */
import assert from "node:assert/strict";
import { schemaFaults } from "./schema_faults.ts";
import type { Schema } from "./schema_parts.ts";

/** `place: message` for each fault. */
function faults(schema: Schema): string[] {
  return schemaFaults(schema).map(({ path, message }) => `${path.join("/")}: ${message}`);
}

const about = (part: unknown) => ({ type: "object", properties: { a: part } });

Deno.test("schemaFaults() finds none in what the draft allows", () => {
  const schemas: Schema[] = [
    { type: "object", $schema: "https://json-schema.org/draft/2020-12/schema", $id: "https://example.org/a" },
    { type: "object", properties: { constructor: true, toString: false }, required: ["valueOf"] },
    about({ enum: [1, {}, [null]], const: { b: [1] }, default: 1, format: "anything", examples: [{}] }),
    about({ if: true, then: { minLength: 2, maxLength: 1 }, else: { not: true }, prefixItems: [true], items: false }),
    about({ dependentRequired: { b: ["c"] }, dependentSchemas: { b: { minProperties: 1 } }, $defs: { x: true } }),
    about({ patternProperties: { "^a": true }, additionalProperties: { type: "string" } }),
    { type: "object", $defs: { x: { properties: { x: { $ref: "#/$defs/x" } } } }, items: { $ref: "#" } },
  ];
  for (const schema of schemas) assert.deepEqual(faults(schema), [], JSON.stringify(schema));
});

Deno.test("schemaFaults() wants an object of draft 2020-12", () => {
  for (const type of [undefined, "array", ["object", "null"]]) {
    assert.deepEqual(faults({ type }), ['type: must be "object"']);
  }
  assert.deepEqual(faults({ type: "object", $schema: "http://json-schema.org/draft-07/schema#" }), [
    "$schema: must be https://json-schema.org/draft/2020-12/schema",
  ]);
});

Deno.test("schemaFaults() refuses keywords that the service does not know", () => {
  const unknown = ["$anchor", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems", "definitions", "nullable"];
  for (const keyword of [...unknown, "dependencies", "additionalItems", "counted", "toString"]) {
    for (const place of ["", "properties/a/", "$defs/x/", "allOf/0/", "not/", "dependentSchemas/b/"]) {
      const part = { [keyword]: {} };
      const schema = {
        "": part,
        "properties/a/": { properties: { a: part } },
        "$defs/x/": { $defs: { x: part } },
        "allOf/0/": { allOf: [part] },
        "not/": { not: part },
        "dependentSchemas/b/": { dependentSchemas: { b: part } },
      }[place];
      assert.deepEqual(faults({ type: "object", ...schema }), [
        `${place}${keyword}: is no keyword that this service knows`,
      ]);
    }
  }
  assert.deepEqual(faults(about({ $id: "a", $schema: "b" })), [
    "properties/a/$id: is allowed at the top of a schema only",
    "properties/a/$schema: is allowed at the top of a schema only",
  ]);
});

Deno.test("schemaFaults() refuses values that a keyword does not allow", () => {
  const examples: [part: unknown, fault: RegExp][] = [
    [null, /^properties\/a: must be an object or true or false, got null$/],
    [[], /^properties\/a: must be an object or true or false, got an array$/],
    [{ type: "text" }, /^properties\/a\/type: must be one of "array", "boolean", /],
    [{ type: [] }, /^properties\/a\/type: must have at least 1 item$/],
    [{ required: "a" }, /^properties\/a\/required: must be an array, got a string$/],
    [{ minLength: -1 }, /^properties\/a\/minLength: must be at least 0$/],
    [{ maxItems: 1.5 }, /^properties\/a\/maxItems: must be an integer, got 1.5$/],
    [{ multipleOf: 0 }, /^properties\/a\/multipleOf: must be above 0$/],
    [{ anyOf: [] }, /^properties\/a\/anyOf: must have at least 1 item$/],
    [{ enum: [] }, /^properties\/a\/enum: must have a value$/],
    [{ properties: [] }, /^properties\/a\/properties: must be an object, got an array$/],
    [{ items: [true] }, /^properties\/a\/items: must be an object or true or false, got an array$/],
    [{ pattern: 1 }, /^properties\/a\/pattern: must be a string, got 1$/],
    [{ uniqueItems: "yes" }, /^properties\/a\/uniqueItems: must be true or false, got a string$/],
  ];
  for (const [part, fault] of examples) {
    const found = faults(about(part));
    assert.equal(found.length, 1, found.join("; "));
    assert.match(found[0]!, fault);
  }
});

Deno.test("schemaFaults() refuses the name __proto__, of which JavaScript makes something else", () => {
  const named = JSON.parse('{"__proto__": true}');
  for (const keyword of ["properties", "patternProperties", "dependentSchemas", "$defs"]) {
    assert.deepEqual(faults(about({ [keyword]: named })), [
      `properties/a/${keyword}: must not have the name __proto__`,
    ]);
  }
  assert.deepEqual(faults(about({ required: ["__proto__"] })), [
    "properties/a/required: must not have the name __proto__",
  ]);
  assert.deepEqual(faults(about({ dependentRequired: { b: ["__proto__"] } })), [
    "properties/a/dependentRequired/b: must not have the name __proto__",
  ]);
});

Deno.test("schemaFaults() refuses references that lead nowhere, elsewhere, or in a circle", () => {
  const examples: [schema: Schema, fault: string][] = [
    [{ allOf: [true, { $ref: "#/$defs/x" }] }, "allOf/1/$ref: leads nowhere: #/$defs/x is not in the schema"],
    [{ items: { $ref: "#/$defs/toString" } }, "items/$ref: leads nowhere: #/$defs/toString is not in the schema"],
    [{ items: { $ref: "#/properties/b" } }, "items/$ref: must be # or #/$defs/<name>"],
    [{ items: { $ref: "other.json" } }, "items/$ref: must be # or #/$defs/<name>"],
    [{ $defs: { x: { $ref: "#/$defs/x" } } }, "$defs/x/$ref: refers to itself without end"],
    [{ allOf: [{ $ref: "#" }] }, "allOf/0/$ref: refers to itself without end"],
    [
      { $defs: { x: { anyOf: [{ maxLength: 5 }, { $ref: "#/$defs/x" }] } } },
      "$defs/x/anyOf/1/$ref: refers to itself without end",
    ],
    [
      { $defs: { x: { if: { not: { dependentSchemas: { a: { $ref: "#/$defs/x" } } } } } } },
      "$defs/x/if/not/dependentSchemas/a/$ref: refers to itself without end",
    ],
  ];
  for (const [schema, fault] of examples) assert.deepEqual(faults({ type: "object", ...schema }), [fault]);
});

Deno.test("schemaFaults() refuses patterns that are none, and those on whose time there is no bound", () => {
  const noBound = "no bound on the time of that is known";
  const examples: [pattern: string, message: string][] = [
    ["(", "must be a regular expression of ECMA-262 with the flag u: Unterminated group"],
    ["^\\d{3}\\i\\d{4}$", "must be a regular expression of ECMA-262 with the flag u: Invalid escape"],
    ["(?=a)b", `must not look ahead or behind ((?=…), (?!…), (?<=…), (?<!…)): ${noBound}`],
    ["a(?!b)", `must not look ahead or behind ((?=…), (?!…), (?<=…), (?<!…)): ${noBound}`],
    ["(?<=a)b", `must not look ahead or behind ((?=…), (?!…), (?<=…), (?<!…)): ${noBound}`],
    ["(a+)\\1", `must not refer back (\\1, \\k<name>): ${noBound}`],
    ["(?<x>a)\\k<x>", `must not refer back (\\1, \\k<name>): ${noBound}`],
    ["(?i:a)", "must not change flags, as (?i:…) does"],
    ["(?:a{100}){101}", "repeats too much: written out it has more than 10000 parts"],
    ["(".repeat(100_000) + ")".repeat(100_000), "is nested too deep"],
  ];
  for (const [pattern, message] of examples) {
    assert.deepEqual(faults(about({ pattern })), [`properties/a/pattern: ${message}`]);
    assert.deepEqual(faults({ type: "object", patternProperties: { [pattern]: true } }), [
      `patternProperties/${pattern}: ${message}`,
    ]);
  }
});

Deno.test("schemaFaults() finds all faults of one kind at once", () => {
  const schema = { type: "object", properties: { a: { pattern: "(" }, b: { $ref: "#/$defs/x" }, c: { pattern: ")" } } };
  assert.deepEqual(schemaFaults(schema).map(({ path }) => path.join("/")), [
    "properties/a/pattern",
    "properties/b/$ref",
    "properties/c/pattern",
  ]);
});
