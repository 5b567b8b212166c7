/**
 * ajv's errors about a value → problems, each with its place in the value, in words for the author of the value.
 *
 * ajv lists the errors of every alternative (`anyOf`, `oneOf`). If only one alternative allows the value's type, its
 * errors are the problem; otherwise the problem is that no alternative fits.
 */
import type { ErrorObject } from "ajv/dist/2020.js";
import { kindOf, quote, shortened } from "./message_text.ts";
import { allParts, type Path, type Schema, target } from "./schema_parts.ts";

export interface Problem {
  readonly path: Path;
  readonly message: string;
}

/** The first three problems, on one line of at most 500 UTF-16 units. */
export function describeProblems(problems: readonly Problem[]): string {
  const lines = new Set(problems.map(({ path, message }) => {
    const place = path.map((step) => step.length > MAX_STEP_UNITS ? `${step.slice(0, MAX_STEP_UNITS)}…` : step).join(
      ".",
    );
    return place === "" ? message : `${place}: ${message}`;
  }));
  const first = [...lines].slice(0, MAX_PROBLEMS);
  if (lines.size > first.length) first.push(`and ${lines.size - first.length} more`);
  return shortened(first.join("; "));
}

const MAX_PROBLEMS = 3;
const MAX_STEP_UNITS = 80;

/** From errors that have their schemas (ajv's option `verbose`), and the schema that was checked by. */
export function problemsOf(errors: readonly ErrorObject[], root: Schema): Problem[] {
  const found: ErrorObject[] = [];
  const branches = new Map<unknown, Branch[]>();
  for (const error of errors) {
    if (error.keyword === "if") continue; // What `then` or `else` finds wrong stands before it.
    if (COMPOSITE.includes(error.keyword)) {
      const known = branches.get(error.schema) ?? branchesOf(error, root);
      branches.set(error.schema, known);
      for (const problem of folded(found, error, known)) found.push(problem);
    } else {
      found.push(error);
    }
  }
  return found.map((error) => ({ path: pathOf(error), message: messageOf(error) }));
}

/** Keywords whose own error follows the errors of the schemas in them. */
const COMPOSITE = ["anyOf", "oneOf", "contains", "propertyNames"];

/** The schemas of one alternative, and how their places begin (for what has no object of its own, as `false`). */
interface Branch {
  readonly schemas: Set<unknown>;
  readonly places: string[];
}

function branchesOf({ schema, schemaPath }: ErrorObject, root: Schema): Branch[] {
  if (!Array.isArray(schema)) return [branch(schema, { place: schemaPath, root })];
  return schema.map((part, index) => branch(part, { place: `${schemaPath}/${index}`, root }));
}

function branch(schema: unknown, { place, root }: { place: string; root: Schema }): Branch {
  const result: Branch = { schemas: new Set(), places: [`${place}/`] };
  const add = (from: unknown) => {
    for (const { part } of allParts(from)) {
      if (result.schemas.has(part)) continue;
      result.schemas.add(part);
      const reference = part["$ref"];
      if (typeof reference !== "string") continue;
      result.places.push(`${reference}/`);
      add(target(reference, root));
    }
  };
  add(schema);
  return result;
}

/**
 * The problem that an error of alternatives stands for. Removes the alternatives' own errors from the end of `found`.
 */
function folded(found: ErrorObject[], error: ErrorObject, branches: readonly Branch[]): ErrorObject[] {
  const byBranch = new Map<Branch, ErrorObject[]>();
  for (let last = found.at(-1); last !== undefined; last = found.at(-1)) {
    const { parentSchema, schemaPath, instancePath } = last;
    if (!instancePath.startsWith(error.instancePath)) break;
    const branch = branches.find(({ schemas }) => schemas.has(parentSchema)) ??
      branches.find(({ places }) => places.some((place) => schemaPath.startsWith(place)));
    if (branch === undefined) break;
    found.pop();
    const errors = byBranch.get(branch) ?? [];
    byBranch.set(branch, errors);
    errors.push(last);
  }
  if (error.keyword === "propertyNames") return [{ ...error, message: reasonOf([...byBranch.values()].flat()) }];
  if (!Array.isArray(error.schema)) return [error];
  const near = [...byBranch.values()].filter((errors) =>
    errors.some((inner) => inner.instancePath !== error.instancePath || !isAboutAnotherType(inner))
  );
  return near.length === 1 ? near[0]!.reverse() : [error];
}

/** The problem with a name; `undefined` if no name is allowed. */
function reasonOf(errors: readonly ErrorObject[]): string | undefined {
  const reason = errors.find(({ keyword }) => keyword !== "false schema");
  return reason && messageOf(reason);
}

function isAboutAnotherType({ keyword, schema, data }: ErrorObject): boolean {
  if (keyword === "type") return true;
  if (keyword !== "enum" && keyword !== "const") return false;
  return (keyword === "enum" ? schema as unknown[] : [schema]).every((value) => kindOf(value) !== kindOf(data));
}

function pathOf({ instancePath, keyword, params }: ErrorObject): Path {
  const steps = instancePath.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  switch (keyword) {
    case "required":
    case "dependentRequired":
      return [...steps, params["missingProperty"]];
    case "additionalProperties":
      return [...steps, params["additionalProperty"]];
    case "propertyNames":
      return [...steps, params["propertyName"]];
    default:
      return steps;
  }
}

function messageOf({ keyword, params, schema, data, message }: ErrorObject): string {
  switch (keyword) {
    case "type":
      return `must be ${[schema].flat().map((type) => TYPES[type as keyof typeof TYPES]).join(" or ")}, got ${
        got(data)
      }`;
    case "required":
      return "is missing";
    case "dependentRequired":
      return `is missing; ${quote(params["property"])} needs it`;
    case "additionalProperties":
    case "false schema":
      return "is not allowed here";
    case "propertyNames":
      return message === undefined ? "is not allowed as a name" : `is not allowed as a name, which ${message}`;
    case "minLength":
    case "maxLength":
      return `must have ${bound(keyword)} ${counted(params["limit"], "character")}`;
    case "minItems":
    case "maxItems":
    case "items":
      return `must have ${bound(keyword)} ${counted(params["limit"], "item")}`;
    case "minProperties":
    case "maxProperties":
      return `must have ${bound(keyword)} ${counted(params["limit"], "member")}`;
    case "contains":
      return params["maxContains"] === undefined
        ? `must have at least ${counted(params["minContains"], "item")} as "contains" describes`
        : `must have ${params["minContains"]} to ${counted(params["maxContains"], "item")} as "contains" describes`;
    case "uniqueItems":
      return "must not have an item twice";
    case "minimum":
    case "maximum":
      return `must be ${bound(keyword)} ${schema}`;
    case "exclusiveMinimum":
      return `must be above ${schema}`;
    case "exclusiveMaximum":
      return `must be below ${schema}`;
    case "multipleOf":
      return `must be a multiple of ${schema}`;
    case "pattern":
      return `must match the pattern ${quote(params["pattern"])}`;
    case "const":
      return `must be ${json(schema)}`;
    case "enum":
      return `must be ${listed(schema as readonly unknown[])}`;
    case "not":
      return 'must not be what "not" describes';
    case "anyOf":
      return 'fits none of the alternatives in "anyOf"';
    case "oneOf":
      return params["passingSchemas"] === null
        ? 'fits none of the alternatives in "oneOf"'
        : 'fits more than one of the alternatives in "oneOf"';
    default:
      return message ?? `breaks "${keyword}"`;
  }
}

const TYPES = {
  string: "a string",
  number: "a number",
  integer: "an integer",
  boolean: "true or false",
  object: "an object",
  array: "an array",
  null: "null",
} as const;

function got(data: unknown): string {
  return typeof data === "number" || typeof data === "boolean" ? `${data}` : kindOf(data);
}

function bound(keyword: string): string {
  return keyword.startsWith("min") ? "at least" : "at most";
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

const MAX_VALUES = 8;

function listed(values: readonly unknown[]): string {
  if (values.length === 1) return json(values[0]);
  const first = values.slice(0, MAX_VALUES).map(json).join(", ");
  return values.length > MAX_VALUES ? `one of ${first} and ${values.length - MAX_VALUES} more` : `one of ${first}`;
}

function json(value: unknown): string {
  return typeof value === "string" ? quote(value) : shortenedJson(JSON.stringify(value));
}

function shortenedJson(text: string): string {
  return text.length > MAX_STEP_UNITS ? `${text.slice(0, MAX_STEP_UNITS)}…` : text;
}
