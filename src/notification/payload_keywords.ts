/**
 * Keywords that replace ajv's own, and one that counts the cost of references. ajv's own `uniqueItems` takes a time
 * that grows with the square of a list's length, its `multipleOf` is wrong for large and for decimal numbers, and its
 * `enum` and `const` throw if an object has a member called `valueOf`.
 */
import { _, type Ajv2020, Name } from "ajv/dist/2020.js";
import type { WorkLimit } from "./work_limit.ts";

/**
 * A keyword that is added next to each `$ref` before ajv compiles a schema; a catalog may not contain it. Only
 * references can check a value more often than the schema is long: two at each level of a tree are 2ⁿ checks at the
 * bottom.
 */
export const COUNTED = "counted";

export function addKeywords(ajv: Ajv2020, limit: WorkLimit): void {
  const sizes = new WeakMap<object, number>();
  const spend = (data: unknown, errors: number) => limit.spend(stepsOf(sizeOf(data, sizes), errors), "$ref");
  ajv.addKeyword({
    keyword: COUNTED,
    before: "$ref",
    code: ({ gen, data }) => {
      gen.code(_`${gen.scopeValue("func", { ref: spend })}(${data}, ${new Name("errors")})`);
    },
  });
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    errors: false,
    validate: (wanted: boolean, items: readonly unknown[]) => !wanted || areUnique(items, limit),
  });
  ajv.removeKeyword("enum");
  ajv.addKeyword({
    keyword: "enum",
    schemaType: "array",
    errors: false,
    compile: (values: readonly unknown[]) => isOneOf(values, limit),
  });
  ajv.removeKeyword("const");
  ajv.addKeyword({ keyword: "const", errors: false, compile: (value: unknown) => isOneOf([value], limit) });
  ajv.removeKeyword("multipleOf");
  ajv.addKeyword({
    keyword: "multipleOf",
    type: "number",
    schemaType: "number",
    errors: false,
    validate: (divisor: number, value: number) => value % divisor === 0 || isDecimalMultiple(value, divisor, limit),
  });
}

/** The cost of a reference, which is a function call. */
const STEPS_PER_REFERENCE = 16;
const UNITS_PER_STEP = 16;
const ERRORS_PER_STEP = 8;
/** Writing a value in its canonical form takes longer than reading it. */
const CANONICAL_UNITS_PER_STEP = 4;
const STEPS_PER_DECIMAL = 128;

/** ajv copies its list of errors at each reference that adds one. */
function stepsOf(units: number, errors: number): number {
  return STEPS_PER_REFERENCE + Math.ceil(units / UNITS_PER_STEP) + Math.ceil(errors / ERRORS_PER_STEP);
}

/** The approximate length of the value's JSON. */
function sizeOf(value: unknown, sizes: WeakMap<object, number>): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 1;
  const known = sizes.get(value);
  if (known !== undefined) return known;
  let size = 0;
  for (const part of Object.values(value)) size += UNITS_PER_STEP + sizeOf(part, sizes);
  sizes.set(value, size);
  return size;
}

function areUnique(items: readonly unknown[], limit: WorkLimit): boolean {
  if (items.length < 2) return true;
  const seen = new Set<string>();
  for (const item of items) {
    const key = canonical(item);
    limit.spend(1 + Math.ceil(key.length / CANONICAL_UNITS_PER_STEP), "uniqueItems");
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

function isOneOf(values: readonly unknown[], limit: WorkLimit): (value: unknown) => boolean {
  const isCompound = (value: unknown) => typeof value === "object" && value !== null;
  const scalars = new Set(values);
  const compounds = new Set(values.filter(isCompound).map(canonical));
  return (value) => {
    if (!isCompound(value)) return scalars.has(value);
    if (compounds.size === 0) return false;
    const key = canonical(value);
    limit.spend(Math.ceil(key.length / CANONICAL_UNITS_PER_STEP), "enum");
    return compounds.has(key);
  };
}

/** The same text for equal values: 1 and 1.0, and objects with the same members in any order. */
function canonical(value: unknown): string {
  if (typeof value === "number") return `${value}`; // JSON.stringify makes `null` of what no double holds.
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join()}}`;
}

/**
 * Compares numbers as they are written in decimal: 1.1 is a multiple of 0.1. A number beyond a double's range is
 * accepted.
 */
function isDecimalMultiple(value: number, divisor: number, limit: WorkLimit): boolean {
  if (!Number.isFinite(value)) return true;
  limit.spend(STEPS_PER_DECIMAL, "multipleOf");
  const [a, b] = [decimal(value), decimal(divisor)];
  // Digits do not end with 0, so a number with more decimal places than the divisor is not a multiple of it.
  return a.exponent >= b.exponent && a.digits * 10n ** BigInt(a.exponent - b.exponent) % b.digits === 0n;
}

/** digits × 10^exponent. */
interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

function decimal(value: number): Decimal {
  const [mantissa, exponent] = value.toExponential().split("e") as [string, string];
  const fraction = mantissa.split(".")[1] ?? "";
  return { digits: BigInt(mantissa.replace(".", "")), exponent: Number(exponent) - fraction.length };
}
