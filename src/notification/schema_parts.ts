/** A JSON Schema (draft 2020-12) → its keywords and its parts, which are the schemas within it, each with its place. */

export type Schema = Readonly<Record<string, unknown>>;

export type Path = readonly string[];

/** Keywords whose value is one schema, a list of schemas, or schemas by name. */
const SCHEMA_KEYWORDS: ReadonlySet<string> = new Set(
  ["not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"],
);
const SCHEMA_LIST_KEYWORDS: ReadonlySet<string> = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);
const SCHEMA_MAP_KEYWORDS: ReadonlySet<string> = new Set(
  ["properties", "patternProperties", "dependentSchemas", "$defs"],
);

const ANNOTATIONS = [
  ...["title", "description", "$comment", "examples", "default", "deprecated", "readOnly", "writeOnly"],
  ...["format", "contentEncoding", "contentMediaType"],
];

/**
 * The keywords that a schema may contain. Not supported are those that need a whole document or the results of other
 * keywords: `$anchor`, `$dynamicRef`, `$vocabulary`, `unevaluatedItems`, `unevaluatedProperties`.
 */
export const KEYWORDS: ReadonlySet<string> = new Set([
  ...SCHEMA_KEYWORDS,
  ...SCHEMA_LIST_KEYWORDS,
  ...SCHEMA_MAP_KEYWORDS,
  ...ANNOTATIONS,
  ...["type", "enum", "const", "$ref"],
  ...["minLength", "maxLength", "pattern"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  ...["required", "dependentRequired", "minProperties", "maxProperties"],
  ...["minItems", "maxItems", "uniqueItems", "minContains", "maxContains"],
]);

/** Keywords whose schemas apply to the same value as the schema that contains them. */
const SAME_VALUE = ["not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"];

export function isSchemaObject(part: unknown): part is Schema {
  return typeof part === "object" && part !== null && !Array.isArray(part);
}

/** The schemas directly in a schema; a value that its keyword does not allow has none. */
export function* directParts(schema: Schema): Generator<{ part: unknown; path: Path; sameValue: boolean }> {
  for (const keyword of Object.keys(schema)) {
    const value = schema[keyword];
    const sameValue = SAME_VALUE.includes(keyword);
    if (SCHEMA_KEYWORDS.has(keyword)) {
      yield { part: value, path: [keyword], sameValue };
    } else if (SCHEMA_LIST_KEYWORDS.has(keyword) ? Array.isArray(value) : SCHEMA_MAP_KEYWORDS.has(keyword)) {
      for (const [name, part] of Object.entries(value ?? {})) yield { part, path: [keyword, name], sameValue };
    }
  }
}

/** A schema and all schemas in it. */
export function* allParts(schema: unknown, path: Path = []): Generator<{ part: Schema; path: Path }> {
  if (!isSchemaObject(schema)) return;
  yield { part: schema, path };
  for (const direct of directParts(schema)) yield* allParts(direct.part, [...path, ...direct.path]);
}

/** The target of a reference of the form `#` or `#/$defs/<name>`; `undefined` if it does not exist. */
export function target(reference: string, root: Schema): unknown {
  if (reference === "#") return root;
  const name = reference.slice("#/$defs/".length).replaceAll("~1", "/").replaceAll("~0", "~");
  const definitions = (root["$defs"] ?? {}) as Schema;
  return Object.hasOwn(definitions, name) ? definitions[name] : undefined;
}
