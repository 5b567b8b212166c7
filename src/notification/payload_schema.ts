/**
 * The JSON Schema of a payload → a function that says what is wrong with a payload.
 *
 * zod does the checking. What it would read in another way than JSON Schema means it is put right (`zod_schema.ts`), or
 * refused rather than passed over: a keyword that nobody knows, as much as a `$ref` that zod would follow elsewhere.
 * A `format` is a remark, as the draft has it. What is left: a `pattern` sees UTF-16 units.
 */
import { z } from "zod";
import {
  ALL_TYPES,
  isNoInteger,
  lengthMessage,
  type Schema,
  schemaKeywords,
  schemaListKeywords,
  schemaMapKeywords,
  zodSchema,
} from "./zod_schema.ts";

export type PayloadChecker =
  | { readonly kind: "ok"; readonly check: (payload: unknown) => string | undefined }
  | { readonly kind: "broken"; readonly path: readonly string[]; readonly message: string };

export function payloadChecker(schema: Schema): PayloadChecker {
  if (schema.type !== "object") return { kind: "broken", path: ["type"], message: 'must be "object"' };
  const fault = keywordFault(schema, []) ?? conversionFault(schema, schema, []);
  if (fault !== undefined) return { kind: "broken", ...fault };
  const checker = zodSchema(schema, schema);
  const problemOf = (payload: unknown): string | undefined => {
    const result = checker.safeParse(payload);
    if (result.success) return undefined;
    const finite = withFiniteNumbers(payload);
    return finite === undefined ? describe(result.error.issues) : problemOf(finite);
  };
  return {
    kind: "ok",
    check(payload) {
      try {
        return problemOf(payload);
      } catch (error) {
        // A schema that runs out of stack must not stop anybody.
        return `can't be checked: ${(error as Error).message}`;
      }
    },
  };
}

/**
 * A copy with the largest double for what `JSON.parse` takes for infinite, as it does 1e400: JSON allows that, zod doesn't.
 * Nothing if there is no such number.
 */
function withFiniteNumbers(payload: unknown): unknown {
  let changed = false;
  const text = JSON.stringify(payload, (_name, value) => {
    if (value !== Infinity && value !== -Infinity) return value;
    changed = true;
    return Math.sign(value) * Number.MAX_VALUE;
  });
  return changed ? JSON.parse(text) : undefined;
}

interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

const count = z.int().min(0);
const names = z.array(z.string());
const schemaMap = z.record(z.string(), z.unknown());
const typeName = z.enum([...ALL_TYPES, "integer"]);
/** zod compares by identity, which no object that was parsed has. */
const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()], { error: "must not be an object or array" });
/** zod knows no `u` flag, without which these mean something else. */
const pattern = z.string().refine((text) => !/^(?:[^\\]|\\.)*\\(?:[pP]|u)\{/s.test(text), {
  error: "must not use \\p{…} or \\u{…}",
});
/** zod looks members up as they are inherited, too. */
const memberName = (name: string) => !(name in Object.prototype);
const members = schemaMap.refine((map) => Object.keys(map).every(memberName), {
  error: "must not name a member that every JavaScript object has",
});

/** The keywords that zod converts, with the form of their value. */
const keywords = z.strictObject({
  type: z.union([typeName, z.array(typeName).min(1)], { error: "must be a type of JSON Schema, or an array of them" }),
  required: names.refine((list) => list.every(memberName), {
    error: "must not name a member that every JavaScript object has",
  }),
  properties: members,
  patternProperties: z.record(pattern, z.unknown()),
  additionalProperties: z.unknown(),
  propertyNames: z.unknown(),
  minProperties: count,
  maxProperties: count,
  items: z.unknown(),
  contains: z.unknown(),
  minContains: count,
  maxContains: count,
  minItems: count,
  maxItems: count,
  uniqueItems: z.boolean(),
  minLength: count,
  maxLength: count,
  pattern,
  format: z.string(),
  minimum: z.number(),
  maximum: z.number(),
  exclusiveMinimum: z.number(),
  exclusiveMaximum: z.number(),
  multipleOf: z.number().positive(),
  enum: z.array(scalar).min(1),
  const: scalar,
  anyOf: z.array(z.unknown()).min(1),
  oneOf: z.array(z.unknown()).min(1),
  allOf: z.array(z.unknown()).min(1),
  $ref: z.string().regex(/^#(?:\/\$defs\/[^/]+)?$/, { error: "must be # or #/$defs/<name>" }),
  $defs: schemaMap,
  $schema: z.literal("https://json-schema.org/draft/2020-12/schema"),
  $id: z.string(),
  $comment: z.string(),
  title: z.string(),
  description: z.string(),
  examples: z.array(z.unknown()),
  deprecated: z.boolean(),
}).partial().refine(({ minLength = 0, maxLength = minLength }) => maxLength >= minLength, {
  path: ["maxLength"],
  error: "must not be below minLength",
}).refine(
  ({ patternProperties, additionalProperties }) =>
    patternProperties === undefined || typeof additionalProperties !== "object",
  { path: ["additionalProperties"], error: "must be true or false next to patternProperties" },
);

function keywordFault(schema: unknown, path: readonly string[]): Fault | undefined {
  if (typeof schema === "boolean") return undefined;
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    return { path, message: "must be a JSON Schema: an object, true or false" };
  }
  const parsed = keywords.safeParse(schema);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const message = issue.code === "invalid_key" ? issue.issues[0]!.message : issue.message;
    return { path: [...path, ...issue.path.map(String)], message };
  }
  return firstFault(schema as Schema, path, keywordFault);
}

/** zod's converter says what it can't convert but not where: the deepest part that fails by itself is the place. */
function conversionFault(schema: unknown, root: Schema, path: readonly string[]): Fault | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  const inner = firstFault(schema as Schema, path, (part, partPath) => conversionFault(part, root, partPath));
  if (inner !== undefined) return inner;
  try {
    const checker = zodSchema(schema as Schema, root);
    for (const value of ONE_OF_EACH_TYPE) checker.safeParse(value);
    return undefined;
  } catch (error) {
    const message = error instanceof RangeError ? "refers to itself without end" : (error as Error).message;
    return { path, message };
  }
}

/** A schema that refers to itself without a member or item in between runs out of stack on one of these. */
const ONE_OF_EACH_TYPE = ["", 0, false, {}, [], null];

function firstFault(
  schema: Schema,
  path: readonly string[],
  faultOf: (part: unknown, path: readonly string[]) => Fault | undefined,
): Fault | undefined {
  for (const [part, steps] of subschemas(schema)) {
    const fault = faultOf(part, [...path, ...steps]);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function* subschemas(schema: Schema): Generator<[unknown, readonly string[]]> {
  for (const keyword of schemaMapKeywords) {
    for (const [member, part] of Object.entries(schema[keyword] ?? {})) yield [part, [keyword, member]];
  }
  for (const keyword of schemaListKeywords) {
    for (const [index, part] of ((schema[keyword] ?? []) as unknown[]).entries()) yield [part, [keyword, `${index}`]];
  }
  for (const keyword of schemaKeywords) {
    if (schema[keyword] !== undefined) yield [schema[keyword], [keyword]];
  }
}

/** The first three issues, each with its place in the payload. */
function describe(found: readonly z.core.$ZodIssue[]): string {
  const lines = new Set(
    found.flatMap(unfolded).map((issue) => {
      const at = issue.path.map(String).join(".");
      return at === "" ? messageOf(issue) : `${at}: ${messageOf(issue)}`;
    }),
  );
  const told = [...lines].slice(0, 3);
  if (lines.size > told.length) told.push(`and ${lines.size - told.length} more`);
  return told.join("; ");
}

/** Where one alternative alone is of the value's type, what is wrong by that one. */
function unfolded(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union" || isNoInteger(issue)) return [issue];
  const near = issue.errors.filter((errors) =>
    errors.some(({ code, path }) => code !== "invalid_type" || path.length > 0)
  );
  if (near.length !== 1) return [issue];
  return near[0]!.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(unfolded);
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (isNoInteger(issue)) return "must be an integer";
  if (isMissing(issue)) return "is missing";
  if (issue.code === "invalid_key") return "is not allowed here";
  return (issue.code === "invalid_format" ? lengthMessage(issue.pattern) : undefined) ?? issue.message;
}

/** Nothing that was parsed is undefined, except what is not there. */
function isMissing(issue: z.core.$ZodIssue): boolean {
  if (issue.code === "invalid_type") return issue.message.endsWith("received undefined");
  return issue.code === "invalid_union" &&
    issue.errors.flat().some((part) => part.path.length === 0 && isMissing(part));
}
