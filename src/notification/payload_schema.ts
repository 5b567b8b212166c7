/**
 * The JSON Schema of a payload (draft 2020-12) → a function that returns the problems of a payload.
 *
 * ajv compiles the schema; the keywords for which it is wrong or too slow are replaced (`payload_keywords.ts`,
 * `linear_pattern.ts`). A `format` is an annotation, as the draft specifies. A check never throws, and takes a fraction
 * of a second at most, whatever the schema and the payload (`work_limit.ts`).
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { LinearPattern } from "./linear_pattern.ts";
import { compilePattern } from "./pattern_program.ts";
import { addKeywords, COUNTED } from "./payload_keywords.ts";
import { describeProblems, type Problem, problemsOf } from "./payload_problems.ts";
import { type Fault, schemaFaults } from "./schema_faults.ts";
import { allParts, type Schema } from "./schema_parts.ts";
import { TooManySteps, WorkLimit } from "./work_limit.ts";

/** The problems of a payload; `undefined` if there is none. */
export type PayloadCheck = (payload: unknown) => string | undefined;

export type PayloadChecker =
  | { readonly kind: "ok"; readonly check: PayloadCheck }
  | { readonly kind: "broken"; readonly faults: readonly Fault[] };

export function payloadChecker(schema: Schema): PayloadChecker {
  const faults = schemaFaults(schema);
  return faults.length > 0 ? { kind: "broken", faults } : { kind: "ok", check: payloadCheck(schema) };
}

/** For a schema in which `schemaFaults()` finds none. */
export function payloadCheck(schema: Schema): PayloadCheck {
  const problems = valueChecker(schema);
  return (payload) => {
    try {
      const found = problems(payload);
      return found.length === 0 ? undefined : describeProblems(found);
    } catch (error) {
      if (error instanceof TooManySteps) return error.message;
      // An entry must not stop the service, even if its check fails unexpectedly.
      return `cannot be checked: ${(error as Error).message}`;
    }
  };
}

/**
 * For a schema in which `schemaFaults()` finds none: a function that finds all problems with a value, and throws
 * `TooManySteps` when that takes too long.
 */
export function valueChecker(schema: Schema): (value: unknown) => readonly Problem[] {
  const limit = new WorkLimit();
  const validate = compile(schema, limit);
  return (value) => {
    limit.start();
    try {
      return validate(value) ? NO_PROBLEMS : problemsOf(validate.errors!, validate.schema as Schema);
    } finally {
      validate.errors = null; // They refer to the value.
    }
  };
}

const NO_PROBLEMS: readonly Problem[] = [];

function compile(schema: Schema, limit: WorkLimit): ValidateFunction {
  const ajv = new Ajv2020({
    allErrors: true,
    verbose: true,
    // schemaFaults() has refused what strict mode would refuse, with its place.
    strict: false,
    logger: false,
    meta: false,
    validateSchema: false,
    validateFormats: false,
    // JSON allows 1e400, which JSON.parse reads as infinite.
    strictNumbers: false,
    // An inlined reference would not be counted.
    inlineRefs: false,
    ownProperties: namesInherited(schema),
    code: { regExp: Object.assign((source: string) => linearPattern(source, limit), { code: "" }) },
  });
  addKeywords(ajv, limit);
  const { $schema: _schema, $id: _id, ...copy } = structuredClone(schema) as Record<string, unknown>;
  for (const { part } of allParts(copy)) if ("$ref" in part) (part as Record<string, unknown>)[COUNTED] = true;
  return ajv.compile(copy);
}

/**
 * Whether it names a member that every object has by inheritance; to look at own members alone makes ajv's code slower.
 */
function namesInherited(schema: Schema): boolean {
  const names = (part: Schema) => [
    ...Object.keys(part["properties"] ?? {}),
    ...(part["required"] ?? []) as string[],
    ...Object.entries((part["dependentRequired"] ?? {}) as Readonly<Record<string, string[]>>).flat(2),
    ...Object.keys(part["dependentSchemas"] ?? {}),
  ];
  return [...allParts(schema)].some(({ part }) => names(part).some((name) => name in Object.prototype));
}

function linearPattern(source: string, limit: WorkLimit): LinearPattern {
  const compiled = compilePattern(source);
  if (compiled.kind === "refused") throw new Error(`Pattern ${source} ${compiled.message}`);
  return new LinearPattern(source, { program: compiled.program, limit });
}
