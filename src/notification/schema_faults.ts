/**
 * A payload's JSON Schema → all faults for which the service refuses it, each with its place. Pure.
 *
 * Faults are unknown keywords, references that lead nowhere or in a circle, and patterns whose time has no bound. None
 * of them is ignored, because the check of a payload would then mean something else than its author wrote.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { problemsOf } from "./payload_problems.ts";
import { compilePattern } from "./pattern_program.ts";
import { allParts, directParts, isSchemaObject, KEYWORDS, type Path, type Schema, target } from "./schema_parts.ts";

export interface Fault {
  readonly path: Path;
  readonly message: string;
}

const DRAFT = "https://json-schema.org/draft/2020-12/schema";

export function schemaFaults(schema: Schema): Fault[] {
  if (schema["type"] !== "object") return [{ path: ["type"], message: 'must be "object"' }];
  const { $schema = DRAFT, $id: _id, ...rest } = schema;
  if ($schema !== DRAFT) return [{ path: ["$schema"], message: `must be ${DRAFT}` }];
  const parts = [...allParts(rest)];
  const unknown = parts.flatMap(unknownKeywords);
  const places = new Set(unknown.map(({ path }) => path.join("/")));
  return [
    ...unknown,
    ...formFaults(rest).filter(({ path }) => !places.has(path.join("/"))),
    ...parts.flatMap((at) => [
      ...nameFaults(at),
      ...patternFaults(at),
      ...enumFaults(at),
      ...referenceFaults(at, rest),
    ]),
  ];
}

/**
 * A schema within the checked one. Only {@link formFaults} reports values of a wrong form; the other checks ignore
 * them.
 */
interface PartAt {
  readonly part: Schema;
  readonly path: Path;
}

function unknownKeywords({ part, path }: PartAt): Fault[] {
  return Object.keys(part).filter((keyword) => !KEYWORDS.has(keyword)).map((keyword) => ({
    path: [...path, keyword],
    message: keyword === "$id" || keyword === "$schema"
      ? "is allowed at the top of a schema only"
      : "is no keyword that this service knows",
  }));
}

let metaSchema: ValidateFunction | undefined;

/** Faults against the draft's own schema for schemas, which takes 20 ms to compile. */
function formFaults(schema: Schema): Fault[] {
  metaSchema ??= new Ajv2020({ strict: false, allErrors: true, verbose: true, logger: false }).getSchema(DRAFT)!;
  if (metaSchema(schema)) return [];
  // Each vocabulary of that schema reports a value that is not a schema; one report is enough.
  const problems = problemsOf(metaSchema.errors!, metaSchema.schema as Schema);
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

/** A member of this name would set the object's prototype. */
const UNUSABLE_NAME = "__proto__";

function nameFaults({ part, path }: PartAt): Fault[] {
  const dependent = isSchemaObject(part["dependentRequired"]) ? part["dependentRequired"] : {};
  const lists: [place: Path, names: unknown][] = [
    [["required"], part["required"]],
    ...["properties", "patternProperties", "dependentSchemas", "dependentRequired", "$defs"].map((
      keyword,
    ): [Path, unknown] => [[keyword], Object.keys(part[keyword] ?? {})]),
    ...Object.entries(dependent).map(([name, list]): [Path, unknown] => [["dependentRequired", name], list]),
  ];
  return lists.filter(([, names]) => Array.isArray(names) && names.includes(UNUSABLE_NAME)).map(([place]) => ({
    path: [...path, ...place],
    message: `must not have the name ${UNUSABLE_NAME}`,
  }));
}

function patternFaults({ part, path }: PartAt): Fault[] {
  const patterns: [pattern: unknown, place: Path][] = [
    ...Object.keys(part["patternProperties"] ?? {}).map((name): [unknown, Path] => [name, ["patternProperties", name]]),
    [part["pattern"], ["pattern"]],
  ];
  return patterns.flatMap(([pattern, place]) => {
    const compiled = typeof pattern === "string" ? compilePattern(pattern) : undefined;
    return compiled?.kind === "refused" ? [{ path: [...path, ...place], message: compiled.message }] : [];
  });
}

function enumFaults({ part, path }: PartAt): Fault[] {
  const values = part["enum"];
  const isEmpty = Array.isArray(values) && values.length === 0;
  return isEmpty ? [{ path: [...path, "enum"], message: "must have a value" }] : [];
}

function referenceFaults({ part, path }: PartAt, root: Schema): Fault[] {
  const reference = part["$ref"];
  if (typeof reference !== "string") return [];
  const fault = (message: string): Fault[] => [{ path: [...path, "$ref"], message }];
  if (!/^#(?:\/\$defs\/[^/]+)?$/.test(reference)) return fault("must be # or #/$defs/<name>");
  const referred = target(reference, root);
  if (referred === undefined) return fault(`leads nowhere: ${reference} is not in the schema`);
  return leadsBack(referred, { root, to: part }) ? fault("refers to itself without end") : [];
}

/** Whether a reference applies the same schema to the same value again, which would never end. */
function leadsBack(
  from: unknown,
  { root, to, seen = new Set() }: { root: Schema; to: Schema; seen?: Set<unknown> },
): boolean {
  if (!isSchemaObject(from) || seen.has(from)) return false;
  if (from === to) return true;
  seen.add(from);
  const next = [...directParts(from)].filter(({ sameValue }) => sameValue).map(({ part }) => part);
  if (typeof from["$ref"] === "string") next.push(target(from["$ref"], root));
  return next.some((part) => leadsBack(part, { root, to, seen }));
}
