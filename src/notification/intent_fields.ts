/**
 * The fields of an intent: collects them from a stream entry, and checks that each is a text within its limit. Pure.
 *
 * An entry that breaks a rule here is `invalid_fields`, whatever else is wrong with it.
 */
import { type Breach, isPayloadTooLong, MAX_TEXT_CHARACTERS } from "./field_values.ts";
import { longerThan } from "./message_text.ts";
import type { FieldValue, StreamEntry } from "./stream_entry.ts";

/** In the order in which producers usually write them. */
export const FIELDS = [
  "notification_type",
  "producer",
  "audience_kind",
  "recipient_user_ids_json",
  "idempotency_key",
  "occurred_at_ms",
  "payload_json",
  "request_id",
  "trace_id",
  "traceparent",
] as const;
export type FieldName = typeof FIELDS[number];
const OPTIONAL_FIELDS: ReadonlySet<FieldName> = new Set([
  "recipient_user_ids_json",
  "request_id",
  "trace_id",
  "traceparent",
]);
export const REQUIRED_FIELDS = FIELDS.filter((name) => !OPTIONAL_FIELDS.has(name));
const BOUNDED_FIELDS = ["idempotency_key", "request_id", "trace_id"] as const satisfies readonly FieldName[];

export const KNOWN_FIELDS: ReadonlySet<string> = new Set(FIELDS);

export type Fields = Partial<Record<FieldName, FieldValue>>;

/** Fills `fields`, and returns the first known field that is repeated. Other fields are ignored. */
export function collectFields(entry: StreamEntry, fields: Fields): FieldName | undefined {
  let repeated: FieldName | undefined;
  let traceparents = 0;
  for (let at = 0; at + 1 < entry.fields.length; at += 2) {
    const name = entry.fields[at];
    if (typeof name !== "string" || !KNOWN_FIELDS.has(name)) continue;
    if (name === "traceparent") traceparents++;
    else if (fields[name as FieldName] !== undefined) repeated ??= name as FieldName;
    fields[name as FieldName] ??= entry.fields[at + 1];
  }
  // As W3C Trace Context specifies, two of them count as none.
  if (traceparents > 1) delete fields.traceparent;
  return repeated;
}

export function fieldsBreach(fields: Fields, repeated: FieldName | undefined): Breach | undefined {
  const invalid = (message: string): Breach => ({ code: "invalid_fields", message });
  if (repeated !== undefined) return invalid(`${repeated} occurs more than once`);
  for (const name of REQUIRED_FIELDS) {
    if (fields[name] === undefined) return invalid(`${name} is missing`);
    if (fields[name] === "") return invalid(`${name} is empty`);
  }
  for (const name in fields) {
    const value = fields[name as FieldName]!;
    const problem = textProblem(value);
    if (problem === undefined || name === "traceparent") continue;
    // A payload that is too long is refused later, for its length, whatever else is wrong with it.
    if (name === "payload_json" && isPayloadTooLong(value)) continue;
    if (name === "recipient_user_ids_json" && isCut(value)) continue;
    return invalid(`${name} ${problem}`);
  }
  for (const name of BOUNDED_FIELDS) {
    if (longerThan(fields[name] as string ?? "", MAX_TEXT_CHARACTERS)) {
      return invalid(`${name} is longer than ${MAX_TEXT_CHARACTERS} characters`);
    }
  }
  return undefined;
}

function textProblem(value: FieldValue): string | undefined {
  if (value instanceof Uint8Array) return "is not UTF-8";
  if (typeof value !== "string") return "is too long";
  return value.includes("\0") ? "contains a NUL character" : undefined;
}

function isCut(value: FieldValue): boolean {
  return typeof value !== "string" && !(value instanceof Uint8Array);
}
