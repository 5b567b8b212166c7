/**
 * A payload's JSON Schema, or a part of it → the same as zod has to be told it, converted.
 *
 * Left alone, zod passes over keywords without a `type`, over what stands next to `$ref`, `enum` or `const`, over required
 * members that `properties` doesn't describe, and over the bounds of an array without `items`; its integer ends at 2⁵³,
 * its lengths count UTF-16 units, and names that one part of an `allOf` refuses pass if another allows them.
 */
import { z } from "zod";

export type Schema = Readonly<Record<string, unknown>>;

export const ALL_TYPES = ["string", "number", "boolean", "object", "array", "null"] as const;

/** The keywords whose value is a schema, a list of schemas, or schemas by name. */
export const schemaMapKeywords = ["properties", "patternProperties", "$defs"] as const;
export const schemaListKeywords = ["anyOf", "oneOf", "allOf"] as const;
export const schemaKeywords = ["items", "additionalProperties", "propertyNames", "contains"] as const;

/** @throws when zod can't convert it */
export function zodSchema(schema: Schema, root: Schema): z.ZodType {
  const whole = forZod({ ...schema, $defs: { ...(root.$defs ?? {}), [ROOT]: { ...root, $defs: undefined } } });
  return z.fromJSONSchema(whole as Parameters<typeof z.fromJSONSchema>[0]);
}

/** What `$ref: "#"` is told zod as, so that it is the same wherever a part is looked at by itself. */
const ROOT = "<root>";

function forZod(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return schema;
  const { $defs, $ref, enum: values, const: constant, ...others } = withSubschemas(schema as Schema, forZod);
  const { propertyNames, ...rest } = typed(others);
  const parts: Schema[] = [];
  if ($ref !== undefined) parts.push({ $ref: $ref === "#" ? `#/$defs/${ROOT}` : $ref });
  if (values !== undefined) parts.push({ enum: values });
  if (constant !== undefined) parts.push({ const: constant });
  // zod drops a name that one part of an `allOf` refuses unless all do; inside a `oneOf` it doesn't know it for one.
  if (propertyNames !== undefined) parts.push({ oneOf: [{ type: rest.type, propertyNames }, false] });
  if (parts.length === 0 || Object.keys(rest).length > 0) parts.push(rest);
  return { ...(parts.length === 1 ? parts[0] : { allOf: parts }), ...($defs === undefined ? {} : { $defs }) };
}

/** `format` among them: in draft 2020-12 it is an annotation, and what zod asserts of some is not what they mean. */
const remarks = new Set(["$schema", "$id", "$comment", "title", "description", "examples", "deprecated", "format"]);

/** A copy without remarks, its subschemas replaced. */
function withSubschemas(schema: Schema, replace: (part: unknown) => unknown): Record<string, unknown> {
  const result = Object.fromEntries(Object.entries(schema).filter(([keyword]) => !remarks.has(keyword)));
  for (const keyword of schemaMapKeywords) {
    if (result[keyword] === undefined) continue;
    const parts = Object.entries(result[keyword] as Schema).map(([member, part]) => [member, replace(part)]);
    result[keyword] = Object.fromEntries(parts);
  }
  for (const keyword of schemaListKeywords) {
    if (result[keyword] !== undefined) result[keyword] = (result[keyword] as unknown[]).map(replace);
  }
  for (const keyword of schemaKeywords) {
    if (result[keyword] !== undefined) result[keyword] = replace(result[keyword]);
  }
  return result;
}

const compositions = ["anyOf", "oneOf", "allOf"];

/** Keywords other than `$ref`, `enum` and `const`, with a type next to them unless one of `compositions` stands alone. */
function typed(schema: Schema): Schema {
  const used = Object.keys(schema);
  if (used.length === 0 || (used.length === 1 && compositions.includes(used[0]!))) return schema;
  const asked = [schema.type ?? ALL_TYPES].flat() as string[];
  const type = [...new Set(asked.map((name) => name === "integer" ? "number" : name))];
  const result: Record<string, unknown> = { items: true, ...schema, type };
  const also: Schema[] = [];

  if (asked.includes("integer") && !asked.includes("number")) also.push(INTEGERS);
  const { minLength = 0, maxLength } = schema as { minLength?: number; maxLength?: number };
  if (minLength > 1 || maxLength !== undefined) {
    delete result.minLength;
    delete result.maxLength;
    also.push({ type, pattern: lengthPattern(minLength, maxLength) });
  }
  if (schema.required !== undefined) {
    const undescribed = schema.patternProperties === undefined ? schema.additionalProperties ?? true : true;
    const required = (schema.required as string[]).map((name) => [name, undescribed]);
    result.properties = { ...Object.fromEntries(required), ...(schema.properties ?? {}) };
  }
  if (schema.additionalProperties === false) {
    delete result.additionalProperties;
    const allowed = [
      { enum: Object.keys(schema.properties ?? {}) },
      ...Object.keys(schema.patternProperties ?? {}).map((pattern) => ({ type: "string", pattern })),
    ];
    result.propertyNames = { allOf: [schema.propertyNames ?? true, { anyOf: allowed }] };
  } else if (schema.additionalProperties !== undefined) {
    // zod takes what is converted to never, as `allOf: [false]` is, for false.
    result.additionalProperties = { anyOf: [schema.additionalProperties] };
  }
  if (also.length > 0) result.allOf = [...(schema.allOf as unknown[] ?? []), ...also];
  return result;
}

/**
 * Any number that is an integer, and whatever is no number. zod's own integer is exact and ends at 2⁵³, and every double
 * beyond is one; its `multipleOf: 1` would let fractions pass that are small beside the number.
 */
const INTEGERS: Schema = {
  anyOf: [
    { type: "integer" },
    { type: "number", minimum: 2 ** 53 },
    { type: "number", maximum: -(2 ** 53) },
    { type: ALL_TYPES.filter((type) => type !== "number") },
  ],
};

/** Whether the issue is that a number is not one of {@link INTEGERS}. */
export function isNoInteger(issue: z.core.$ZodIssue): boolean {
  return issue.code === "invalid_union" &&
    issue.errors.some(([first]) => first?.code === "invalid_type" && first.expected as string === "int");
}

/** One code point of a text that has no lone surrogates. */
const CHARACTER = "(?:[\\ud800-\\udbff][\\udc00-\\udfff]|[^\\ud800-\\udfff])";

function lengthPattern(min: number, max: number | undefined): string {
  return `^${CHARACTER}{${min},${max ?? ""}}$`;
}

export function lengthMessage(pattern: string | undefined): string | undefined {
  const [, min, max] = /^\/\^(?:.*)\{(\d+),(\d*)\}\$\/$/.exec(pattern ?? "") ?? [];
  if (min === undefined || pattern !== `/${lengthPattern(Number(min), max === "" ? undefined : Number(max))}/`) return;
  return `must have ${max === "" ? `at least ${min}` : min === "0" ? `at most ${max}` : `${min} to ${max}`} characters`;
}
