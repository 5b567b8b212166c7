// Payloads are checked as JSON Schema (draft 2020-12) says; what can't be is refused when the catalog is loaded.
// The judge is a second implementation, a few lines long and slow, of the keywords that it generates.

import assert from "node:assert/strict";
import fc from "fast-check";
import { payloadChecker } from "./payload_schema.ts";

type Schema = Readonly<Record<string, unknown>>;

/** What is wrong with the member `a` by its schema. */
function problemOf(a: unknown, schema: unknown, root: Schema = {}): string | undefined {
  const checker = payloadChecker({ type: "object", properties: { a: schema }, ...root });
  assert.equal(checker.kind, "ok", checker.kind === "broken" ? `${checker.path.join("/")}: ${checker.message}` : "");
  return checker.kind === "ok" ? checker.check({ a }) : undefined;
}

Deno.test("payloadChecker() takes an integer of any size, and nothing else for one", () => {
  for (const type of ["integer", ["integer", "null"]]) {
    for (const value of [0, -0, 1, -5, 1.0, 1e3, 2 ** 53, 12345678901234567890, -1e22, 1e300]) {
      assert.equal(problemOf(value, { type }), undefined, `${value}`);
    }
    for (const value of [1.5, -0.1, 1e-7]) assert.equal(problemOf(value, { type }), "a: must be an integer");
    for (const value of ["1", true, [1], {}]) assert.match(problemOf(value, { type }) ?? "", /^a: /);
  }
  const nearLarge = [2 ** 51 + 0.5, 2 ** 52 - 0.5, -(2 ** 51) - 0.5, 123456789012.00002];
  for (const value of nearLarge) {
    for (const type of ["integer", ["integer", "null"]]) {
      assert.equal(problemOf(value, { type }), "a: must be an integer", `${value}`);
    }
  }
  assert.match(problemOf(0.5, { type: "integer", minimum: 1 }) ?? "", /^a: .*must be an integer/);
  assert.match(problemOf(2 ** 53, { type: "integer", maximum: 1 }) ?? "", /^a: Too big: [^;]*$/);
  assert.equal(problemOf({ b: 0.5 }, { properties: { b: { type: "integer" } } }), "a.b: must be an integer");
  assert.equal(problemOf(1.5, { type: ["integer", "number"] }), undefined);
  assert.equal(problemOf(1.5, { type: "integer", multipleOf: 0.5 }), "a: must be an integer");
});

Deno.test("payloadChecker() counts characters as code points", () => {
  assert.equal(problemOf("😀☃x", { type: "string", minLength: 3, maxLength: 3 }), undefined);
  assert.equal(problemOf("😀☃", { type: "string", minLength: 3, maxLength: 5 }), "a: must have 3 to 5 characters");
  assert.equal(problemOf("😀", { type: "string", minLength: 2 }), "a: must have at least 2 characters");
  assert.equal(problemOf("😀😀😀", { type: "string", maxLength: 2 }), "a: must have at most 2 characters");
  assert.equal(problemOf("\n\u2028", { type: "string", maxLength: 2 }), undefined);
  assert.equal(problemOf("x".repeat(200_000), { type: "string", maxLength: 250_000 }), undefined);
});

Deno.test("payloadChecker() takes a number that no double holds for the number it is", () => {
  const [large, small] = JSON.parse("[1e400,-1e400]");
  for (const type of ["number", "integer", ["number", "null"]]) {
    for (const value of [large, small]) assert.equal(problemOf(value, { type }), undefined);
  }
  assert.equal(problemOf({ b: [large], c: 1 }, { properties: { b: { items: { type: "number" } } } }), undefined);
  assert.equal(problemOf({ b: large }, { enum: [1], type: "object" }) === undefined, false);
  assert.match(problemOf(large, { type: "number", maximum: 1e300 }) ?? "", /^a: Too big/);
  assert.match(problemOf(small, { minimum: 0 }) ?? "", /^a: Too small/);
  assert.notEqual(problemOf(large, { type: "string" }), undefined);
});

Deno.test("payloadChecker() takes a format for a remark", () => {
  const examples: [format: string, value: string][] = [
    ["uri-reference", "/games/1"],
    ["uuid", "00000000-0000-0000-0000-0000000000zz"],
    ["email", "root@localhost"],
    ["date-time", "yesterday"],
    ["jwt", "x"],
    ["nobody knows it", "x"],
  ];
  for (const [format, value] of examples) {
    assert.equal(problemOf(value, { type: "string", format }), undefined, format);
    assert.equal(problemOf(value, { format }), undefined, format);
  }
  assert.match(problemOf("", { type: "string", format: "email", minLength: 1 }) ?? "", /^a: Too small/);
  assert.notEqual(problemOf(1, { type: "string", format: "email" }), undefined);
});

Deno.test("payloadChecker() says what is wrong where, and not more than anybody reads", () => {
  const names = ["a", "b", "c", "d", "e"];
  const checker = payloadChecker({ type: "object", required: names, properties: { a: { items: { type: "string" } } } });
  const problem = checker.kind === "ok" ? checker.check({ a: ["x", 1] }) : "";
  assert.match(problem!, /^a\.1: [^;]+; b: is missing; c: is missing; and 2 more$/);
});

Deno.test("payloadChecker() checks members that are required but not described", () => {
  const schema = { type: "object", required: ["a"] };
  assert.equal(problemOf({}, schema), "a.a: is missing");
  assert.equal(problemOf({ a: null }, schema), undefined);
  assert.notEqual(problemOf({ a: "x" }, { ...schema, additionalProperties: { type: "number" } }), undefined);
  assert.equal(problemOf({ a: 1 }, { ...schema, patternProperties: { "^a": { type: "number" } } }), undefined);
  assert.notEqual(problemOf({ a: "" }, { ...schema, patternProperties: { "^a": { type: "number" } } }), undefined);
});

Deno.test("payloadChecker() refuses other members where they are not allowed", () => {
  const schema = { properties: { a: true }, patternProperties: { "^x": true }, additionalProperties: false };
  assert.equal(problemOf({ a: 1, xyz: 1 }, schema), undefined);
  assert.equal(problemOf({ a: 1, b: 1 }, schema), "a.b: is not allowed here");
  assert.equal(problemOf({ a: 1, b: 1 }, { allOf: [schema, { required: ["a"] }] }), "a.b: is not allowed here");
  assert.equal(problemOf(JSON.parse('{"__proto__":1}'), schema), "a.__proto__: is not allowed here");
});

Deno.test("payloadChecker() follows references, also to the schema itself", () => {
  const $defs = {
    tree: {
      type: "object",
      required: ["v"],
      properties: { next: { $ref: "#/$defs/tree" }, v: { $ref: "#/$defs/v~1" } },
    },
    "v/": { type: "string" },
  };
  assert.equal(problemOf({ v: "1", next: { v: "2" } }, { $ref: "#/$defs/tree" }, { $defs }), undefined);
  assert.equal(
    problemOf({ v: "1", next: { v: "2", next: {} } }, { $ref: "#/$defs/tree" }, { $defs }),
    "a.next.next.v: is missing",
  );
  assert.equal(problemOf({ a: {} }, { $ref: "#" }), undefined);
  assert.match(problemOf({ a: 1 }, { $ref: "#" }) ?? "", /^a\.a: /);
  assert.match(problemOf("abc", { $ref: "#/$defs/v~1", maxLength: 2 }, { $defs }) ?? "", /at most 2 characters/);
});

Deno.test("payloadChecker() passes over members called like JavaScript's own", () => {
  const payload = JSON.parse('{"__proto__":{"a":1},"constructor":1,"toString":null,"a":"x"}');
  const checker = payloadChecker({ type: "object", properties: { a: { type: "string" } } });
  assert.equal(checker.kind === "ok" && checker.check(payload), undefined);
});

Deno.test("payloadChecker() refuses a schema that it can't keep to, and names the place", () => {
  const examples: [schema: Schema, place: string, message: RegExp][] = [
    [{}, "type", /must be "object"/],
    [{ type: "array" }, "type", /must be "object"/],
    [{ type: ["object", "null"] }, "type", /must be "object"/],
    ...[
      "not",
      "if",
      "dependentRequired",
      "unevaluatedProperties",
      "default",
      "prefixItems",
      "$anchor",
      "nullable",
      "definitions",
    ]
      .map((
        keyword,
      ): [Schema, string, RegExp] => [{ type: "object", [keyword]: {} }, "", new RegExp(RegExp.escape(keyword))]),
    [{ type: "object", $schema: "http://json-schema.org/draft-07/schema#" }, "$schema", /2020-12/],
    [{ type: "object", properties: { a: { type: "text" } } }, "properties/a/type", /must be a type of JSON Schema/],
    [{ type: "object", properties: { a: null } }, "properties/a", /must be a JSON Schema/],
    [{ type: "object", properties: { a: [] } }, "properties/a", /must be a JSON Schema/],
    [{ type: "object", properties: { constructor: true } }, "properties", /every JavaScript object/],
    [{ type: "object", required: ["toString"] }, "required", /every JavaScript object/],
    [{ type: "object", required: "a" }, "required", /array/],
    [{ type: "object", properties: { a: { minLength: -1 } } }, "properties/a/minLength", /./],
    [{ type: "object", properties: { a: { minLength: 2, maxLength: 1 } } }, "properties/a/maxLength", /minLength/],
    [{ type: "object", properties: { a: { pattern: "(" } } }, "properties/a", /Invalid regular expression/],
    [{ type: "object", properties: { a: { pattern: "^\\p{L}$" } } }, "properties/a/pattern", /must not use/],
    [{ type: "object", patternProperties: { "\\u{1f600}": true } }, "patternProperties/\\u{1f600}", /must not use/],
    [{ type: "object", properties: { a: { enum: [1, {}] } } }, "properties/a/enum/1", /must not be an object or array/],
    [{ type: "object", properties: { a: { enum: [] } } }, "properties/a/enum", /./],
    [{ type: "object", properties: { a: { const: [1] } } }, "properties/a/const", /must not be an object or array/],
    [{ type: "object", properties: { a: { anyOf: [] } } }, "properties/a/anyOf", /./],
    [
      { type: "object", properties: { a: { allOf: [true, { $ref: "#/$defs/x" }] } } },
      "properties/a/allOf/1",
      /not found/,
    ],
    [{ type: "object", properties: { a: { $ref: "#/properties/b" } } }, "properties/a/$ref", /must be # or #\/\$defs/],
    [{ type: "object", properties: { a: { $ref: "other.json" } } }, "properties/a/$ref", /must be # or #\/\$defs/],
    [{ type: "object", $defs: { x: { items: { $ref: "#/$defs/x/items" } } } }, "$defs/x/items/$ref", /must be # or/],
    [{ type: "object", $defs: { x: { $ref: "#/$defs/x" } } }, "$defs/x", /refers to itself without end/],
    [{ type: "object", allOf: [{ $ref: "#" }] }, "allOf/0", /refers to itself without end/],
    [
      { type: "object", patternProperties: { "^a": true }, additionalProperties: { type: "string" } },
      "additionalProperties",
      /must be true or false next to patternProperties/,
    ],
  ];
  for (const [schema, place, message] of examples) {
    const checker = payloadChecker(schema);
    assert.equal(checker.kind, "broken", JSON.stringify(schema));
    if (checker.kind !== "broken") continue;
    assert.equal(checker.path.join("/"), place, JSON.stringify(schema));
    assert.match(checker.message, message);
  }
});

Deno.test("payloadChecker() takes what is not a name of a property class for itself", () => {
  for (const pattern of ["\\\\p{L}", "\\x70{2}", "p{2}", "^[\\w-]+$"]) problemOf("x", { type: "string", pattern });
  assert.equal(problemOf("\\pp", { type: "string", pattern: "^\\\\p{2}$" }), undefined);
});

Deno.test("payloadChecker() survives a payload that makes its schema run without end", () => {
  const endless = { anyOf: [{ maxLength: 5 }, { $ref: "#/$defs/x" }] };
  assert.match(problemOf("longer", { $ref: "#/$defs/x" }, { $defs: { x: endless } }) ?? "", /^can't be checked: /);
});

const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];
const small = fc.nat(3);
const scalar = fc.constantFrom(null, true, false, 0, 1, 1.5, -2, 1e20, "", "a", "ab", "😀", "😀😀b", "😀😀abc");
const member = fc.constantFrom("a", "b", "c");
const { schema, value } = fc.letrec<{ schema: unknown; value: unknown }>((tie) => {
  const some = fc.array(tie("schema"), { minLength: 1, maxLength: 3 });
  const keywords = {
    type: fc.oneof(
      fc.constantFrom(...TYPES),
      fc.uniqueArray(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 3 }),
    ),
    enum: fc.array(scalar, { minLength: 1, maxLength: 4 }),
    const: scalar,
    minLength: small,
    maxLength: small.map((length) => 3 + length),
    pattern: fc.constantFrom("a", "^a", "b$", "^$"),
    minimum: scalar.filter((limit) => typeof limit === "number"),
    exclusiveMaximum: scalar.filter((limit) => typeof limit === "number"),
    multipleOf: fc.constantFrom(1, 2, 0.5),
    required: fc.uniqueArray(member),
    properties: fc.dictionary(member, tie("schema"), { maxKeys: 3 }),
    additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
    propertyNames: fc.constantFrom({ maxLength: 0 }, { pattern: "^[ab]$" }, { enum: ["a", "c"] }, true, false),
    minProperties: small,
    maxProperties: small,
    items: tie("schema"),
    contains: tie("schema"),
    minContains: small,
    minItems: small,
    maxItems: small,
    uniqueItems: fc.boolean(),
    anyOf: some,
    oneOf: some,
    allOf: some,
    description: fc.constant("a remark"),
  };
  const used = fc.subarray(Object.keys(keywords) as (keyof typeof keywords)[], { maxLength: 4 });
  return {
    schema: fc.oneof(
      { maxDepth: 2, depthSize: "small" },
      fc.boolean(),
      used.chain((names) =>
        fc.record(Object.fromEntries(names.map((name) => [name, keywords[name] as fc.Arbitrary<unknown>])))
      ),
    ),
    value: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      scalar,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(member, tie("value"), { maxKeys: 3 }),
    ),
  };
});

interface Keywords {
  readonly type?: string | string[];
  readonly enum?: unknown[];
  readonly const?: unknown;
  readonly anyOf?: unknown[];
  readonly oneOf?: unknown[];
  readonly allOf?: unknown[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly required?: string[];
  readonly properties?: Schema;
  readonly additionalProperties?: unknown;
  readonly propertyNames?: unknown;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly items?: unknown;
  readonly contains?: unknown;
  readonly minContains?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
}

/** JSON Schema's validation, section by section, for the keywords above. */
function isValid(schema: unknown, value: unknown): boolean {
  if (typeof schema === "boolean") return schema;
  const s = schema as Keywords;
  if (s.type !== undefined && ![s.type].flat().some((type) => isOfType(value, type))) return false;
  if (s.enum !== undefined && !s.enum.includes(value)) return false;
  if (s.const !== undefined && s.const !== value) return false;
  if (s.anyOf !== undefined && !s.anyOf.some((part) => isValid(part, value))) return false;
  if (s.oneOf !== undefined && s.oneOf.filter((part) => isValid(part, value)).length !== 1) return false;
  if (s.allOf !== undefined && !s.allOf.every((part) => isValid(part, value))) return false;
  if (typeof value === "string") {
    if (!isBetween([...value].length, s.minLength, s.maxLength)) return false;
    return s.pattern === undefined || new RegExp(s.pattern, "u").test(value);
  }
  if (typeof value === "number") {
    if (value < (s.minimum ?? -Infinity) || value >= (s.exclusiveMaximum ?? Infinity)) return false;
    return s.multipleOf === undefined || value % s.multipleOf === 0;
  }
  if (Array.isArray(value)) return areItemsValid(s, value);
  return typeof value !== "object" || value === null || areMembersValid(s, value as Schema);
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "null") return value === null;
  return typeof value === type && value !== null && !Array.isArray(value);
}

function areItemsValid(s: Keywords, items: readonly unknown[]): boolean {
  if (!isBetween(items.length, s.minItems, s.maxItems)) return false;
  if (!items.every((item) => isValid(s.items ?? true, item))) return false;
  if (s.uniqueItems && new Set(items.map((item) => JSON.stringify(sorted(item)))).size < items.length) return false;
  return s.contains === undefined || items.filter((item) => isValid(s.contains, item)).length >= (s.minContains ?? 1);
}

function areMembersValid(s: Keywords, members: Schema): boolean {
  const names = Object.keys(members);
  const schemaOf = (name: string) =>
    s.properties !== undefined && Object.hasOwn(s.properties, name)
      ? s.properties[name]
      : s.additionalProperties ?? true;
  return isBetween(names.length, s.minProperties, s.maxProperties) &&
    (s.required ?? []).every((name) => names.includes(name)) &&
    names.every((name) => isValid(s.propertyNames ?? true, name) && isValid(schemaOf(name), members[name]));
}

function isBetween(value: number, min = 0, max = Infinity): boolean {
  return value >= min && value <= max;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return { members: Object.entries(value).map(([name, part]) => [name, sorted(part)]).sort() };
}

Deno.test("payloadChecker() finds a payload valid exactly where JSON Schema does", () => {
  fc.assert(
    fc.property(schema, value, (part, a) => {
      assert.equal(problemOf(a, part) === undefined, isValid(part, a), JSON.stringify([part, a, problemOf(a, part)]));
    }),
    {
      numRuns: 2_000,
      examples: [[{ properties: {}, additionalProperties: { allOf: [false] }, oneOf: [true] }, { a: null }]],
    },
  );
});
