/**
 * The JSON Schema of a payload → a function that says what is wrong with a payload.
 *
 * zod does the checking. What it would read in another way than JSON Schema means it is put right here: an integer of
 * any size is an integer, and a keyword that nobody knows is refused rather than passed over.
 */
import { z } from "zod";

type Schema = Readonly<Record<string, unknown>>;

export type PayloadChecker =
  | { readonly kind: "ok"; readonly check: (payload: unknown) => string | undefined }
  | { readonly kind: "broken"; readonly path: readonly string[]; readonly message: string };

export function payloadChecker(schema: Schema): PayloadChecker {
  if (schema.type !== "object") return { kind: "broken", path: ["type"], message: 'must be "object"' };
  const fault = keywordFault(schema, []) ?? conversionFault(schema, schema, []);
  if (fault !== undefined) return { kind: "broken", ...fault };
  const checker = convert(schema, schema);
  return {
    kind: "ok",
    check(payload) {
      const result = checker.safeParse(payload);
      return result.success ? undefined : describe(result.error.issues);
    },
  };
}

interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

const count = z.int().min(0);
const names = z.array(z.string());
const schemaMap = z.record(z.string(), z.unknown());
const typeName = z.enum(["string", "number", "integer", "boolean", "object", "array", "null"]);

/** The keywords that zod converts, with the form of their value. */
const keywords = z.strictObject({
  type: z.union([typeName, z.array(typeName).min(1)]),
  required: names,
  properties: schemaMap,
  patternProperties: schemaMap,
  additionalProperties: z.unknown(),
  propertyNames: z.unknown(),
  minProperties: count,
  maxProperties: count,
  items: z.unknown(),
  prefixItems: z.array(z.unknown()),
  contains: z.unknown(),
  minContains: count,
  maxContains: count,
  minItems: count,
  maxItems: count,
  uniqueItems: z.boolean(),
  minLength: count,
  maxLength: count,
  pattern: z.string(),
  format: z.string(),
  minimum: z.number(),
  maximum: z.number(),
  exclusiveMinimum: z.number(),
  exclusiveMaximum: z.number(),
  multipleOf: z.number().positive(),
  enum: z.array(z.unknown()).min(1),
  const: z.unknown(),
  anyOf: z.array(z.unknown()).min(1),
  oneOf: z.array(z.unknown()).min(1),
  allOf: z.array(z.unknown()).min(1),
  $ref: z.string(),
  $defs: schemaMap,
  $schema: z.literal("https://json-schema.org/draft/2020-12/schema"),
  $id: z.string(),
  $comment: z.string(),
  title: z.string(),
  description: z.string(),
  examples: z.array(z.unknown()),
  deprecated: z.boolean(),
}).partial();

function keywordFault(schema: unknown, path: readonly string[]): Fault | undefined {
  if (typeof schema === "boolean") return undefined;
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    return { path, message: "must be a JSON Schema: an object, true or false" };
  }
  const parsed = keywords.safeParse(schema);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return { path: [...path, ...issue.path.map(String)], message: issue.message };
  }
  return firstFault(schema as Schema, path, keywordFault);
}

/** zod's converter says what it can't convert but not where: the deepest part that fails by itself is the place. */
function conversionFault(schema: unknown, root: Schema, path: readonly string[]): Fault | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  const inner = firstFault(schema as Schema, path, (part, partPath) => conversionFault(part, root, partPath));
  if (inner !== undefined) return inner;
  try {
    convert(schema as Schema, root);
    return undefined;
  } catch (error) {
    return { path, message: (error as Error).message };
  }
}

const schemaMapKeywords = ["properties", "patternProperties", "$defs"] as const;
const schemaListKeywords = ["anyOf", "oneOf", "allOf", "prefixItems"] as const;
const schemaKeywords = ["items", "additionalProperties", "propertyNames", "contains"] as const;

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

function convert(schema: Schema, root: Schema): z.ZodType {
  const whole = { ...schema, ...(root.$defs === undefined ? {} : { $defs: root.$defs }) };
  return z.fromJSONSchema(integersOfAnySize(whole) as Parameters<typeof z.fromJSONSchema>[0]);
}

/** zod's integer ends at 2⁵³; JSON Schema's is any number without a fraction. */
function integersOfAnySize(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return schema;
  const result: Record<string, unknown> = { ...schema };
  if (result.type === "integer") {
    result.type = "number";
    result.multipleOf ??= 1;
  }
  for (const keyword of schemaMapKeywords) {
    if (result[keyword] === undefined) continue;
    const parts = Object.entries(result[keyword] as Schema).map(([member, part]) => [member, integersOfAnySize(part)]);
    result[keyword] = Object.fromEntries(parts);
  }
  for (const keyword of schemaListKeywords) {
    if (result[keyword] !== undefined) result[keyword] = (result[keyword] as unknown[]).map(integersOfAnySize);
  }
  for (const keyword of schemaKeywords) {
    if (result[keyword] !== undefined) result[keyword] = integersOfAnySize(result[keyword]);
  }
  return result;
}

/** The first three issues, each with its place in the payload. */
function describe(issues: readonly z.core.$ZodIssue[]): string {
  const told = issues.slice(0, 3).map((issue) => {
    const at = issue.path.map(String).join(".");
    const message = issue.code === "not_multiple_of" && issue.divisor === 1 ? "must be an integer" : issue.message;
    return at === "" ? message : `${at}: ${message}`;
  });
  if (issues.length > told.length) told.push(`and ${issues.length - told.length} more`);
  return told.join("; ");
}
