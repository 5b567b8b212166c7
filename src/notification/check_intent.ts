/**
 * A stream entry → what an intent has in it, or what is malformed about it. Pure, and never throws whatever the entry's bytes
 * are. Who the intent is, is computed in decode.ts: a producer needs only the rules.
 *
 * The rules are those of section 2 of docs/contract.md, checked in its order; the first that is broken counts.
 */
import { AUDIENCE_KINDS, type AudienceKind, type Catalog } from "./catalog.ts";
import type { Intent, Malformed, MalformedCode } from "./intent.ts";
import { parseJsonText } from "./json_text.ts";
import { kindOf, longerThan, longerThanBytes, quote, shortened } from "./message_text.ts";
import type { FieldValue, StreamEntry } from "./stream_entry.ts";
import { jsonHint, notDigitsHint, timeUnitHint } from "./written_by_hand.ts";

export const MAX_PAYLOAD_BYTES = 256 * 1024;
export const MAX_RECIPIENTS = 10_000;
const MAX_TEXT_CHARACTERS = 256;
const MAX_USER_ID_CHARACTERS = 128;
/** Years 2000 to 2100. */
const MIN_OCCURRED_AT_MS = Date.UTC(2000, 0, 1);
const END_OCCURRED_AT_MS = Date.UTC(2101, 0, 1);

/** In the order in which a producer writes them. */
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
type FieldName = typeof FIELDS[number];
const OPTIONAL_FIELDS: ReadonlySet<FieldName> = new Set([
  "recipient_user_ids_json",
  "request_id",
  "trace_id",
  "traceparent",
]);
export const REQUIRED_FIELDS = FIELDS.filter((name) => !OPTIONAL_FIELDS.has(name));
const BOUNDED_FIELDS = ["idempotency_key", "request_id", "trace_id"] as const satisfies readonly FieldName[];

export const KNOWN_FIELDS: ReadonlySet<string> = new Set(FIELDS);

/** A rule broken while decoding; caught in {@link checkIntent} and nowhere else. */
interface Breach {
  readonly code: MalformedCode;
  readonly message: string;
}

type Fields = Partial<Record<FieldName, FieldValue>>;

/** An intent before it has its identity. */
export interface CheckedIntent extends Omit<Intent, "notificationId" | "fingerprint"> {
  /** The parsed payload. */
  readonly payloadValue: unknown;
}

export function checkIntent(entry: StreamEntry, catalog: Catalog): CheckedIntent | Malformed {
  const fields: Fields = { __proto__: null } as Fields;
  const repeated = collectFields(entry, fields);
  const decoded = decodeFields(entry, fields, repeated, catalog);
  return "code" in decoded ? malformed(entry, fields, decoded) : decoded;
}

/** Fills `fields`, gives the first known field that is there twice. An unknown field is nobody's business. */
function collectFields(entry: StreamEntry, fields: Fields): FieldName | undefined {
  let repeated: FieldName | undefined;
  let traceparents = 0;
  for (let at = 0; at + 1 < entry.fields.length; at += 2) {
    const name = entry.fields[at];
    if (typeof name !== "string" || !KNOWN_FIELDS.has(name)) continue;
    if (name === "traceparent") traceparents++;
    else if (fields[name as FieldName] !== undefined) repeated ??= name as FieldName;
    fields[name as FieldName] ??= entry.fields[at + 1];
  }
  // As W3C Trace Context has it: two of them are as good as none.
  if (traceparents > 1) delete fields.traceparent;
  return repeated;
}

function decodeFields(
  entry: StreamEntry,
  fields: Fields,
  repeated: FieldName | undefined,
  catalog: Catalog,
): CheckedIntent | Breach {
  const breach = fieldsBreach(fields, repeated);
  if (breach !== undefined) return breach;

  const text = fields as Record<FieldName, string>;
  const type = catalog.get(text.notification_type);
  if (type === undefined) {
    return {
      code: "unknown_notification_type",
      message: `notification_type ${quote(text.notification_type)} is not in the catalog`,
    };
  }
  const producer = text.producer;
  if (!type.producers.includes(producer)) {
    return {
      code: "producer_not_allowed",
      message: `producer ${quote(producer)} may not send ${type.name}; allowed: ${type.producers.join(", ")}`,
    };
  }
  const audienceKind = text.audience_kind as AudienceKind;
  if (!AUDIENCE_KINDS.includes(audienceKind) || type.audiences[audienceKind] === undefined) {
    return {
      code: "audience_not_allowed",
      message: `audience_kind ${quote(audienceKind)} is not allowed for ${type.name}; allowed: ${
        Object.keys(type.audiences).join(", ")
      }`,
    };
  }
  const recipients = decodeRecipients(fields.recipient_user_ids_json ?? "", audienceKind);
  if ("code" in recipients) return recipients;

  const occurredAtMs = decodeOccurredAt(text.occurred_at_ms);
  if (typeof occurredAtMs !== "number") return occurredAtMs;

  const payload = decodePayload(fields.payload_json!, type.payloadProblem);
  if ("code" in payload) return payload;

  return {
    kind: "intent",
    entry,
    type,
    producer,
    audienceKind,
    recipientUserIds: recipients,
    idempotencyKey: text.idempotency_key,
    occurredAtMs,
    payload: payload.text,
    payloadValue: payload.value,
    requestId: text.request_id ?? "",
    traceId: text.trace_id ?? "",
    traceparent: usableTraceparent(fields.traceparent),
  };
}

function fieldsBreach(fields: Fields, repeated: FieldName | undefined): Breach | undefined {
  const invalid = (message: string): Breach => ({ code: "invalid_fields", message });
  if (repeated !== undefined) return invalid(`${repeated} is there more than once`);
  for (const name of REQUIRED_FIELDS) {
    if (fields[name] === undefined) return invalid(`${name} is missing`);
    if (fields[name] === "") return invalid(`${name} is empty`);
  }
  for (const name in fields) {
    const value = fields[name as FieldName]!;
    const problem = textProblem(value);
    if (problem === undefined || name === "traceparent") continue;
    // What is too long is refused for its length where its turn comes, whatever else is wrong with it.
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

function decodeRecipients(value: FieldValue, audienceKind: AudienceKind): readonly string[] | Breach {
  const invalid = (message: string): Breach => ({
    code: "invalid_recipients",
    message: `recipient_user_ids_json ${message}`,
  });
  if (typeof value !== "string") return invalid("is too long");
  if (audienceKind === "admin_email") {
    if (value === "" || /^[ \t\n\r]*\[[ \t\n\r]*\][ \t\n\r]*$/.test(value)) return [];
    return invalid("must be absent, empty or [] for audience_kind admin_email");
  }
  if (value === "") return invalid("is missing; audience_kind user needs a JSON array of user ids");
  const json = parseJsonText(value);
  if (json.kind === "refused") return invalid(json.message + jsonHint(value));
  const ids = json.value;
  if (!Array.isArray(ids)) return invalid("must be a JSON array of user ids");
  if (ids.length === 0) return invalid("must name at least one user for audience_kind user");
  if (ids.length > MAX_RECIPIENTS) return invalid(`names ${ids.length} users; at most ${MAX_RECIPIENTS} are allowed`);
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at];
    if (typeof id !== "string") return invalid(`[${at}] must be a string, got ${kindOf(id)}`);
    if (id === "") return invalid(`[${at}] is empty`);
    if (id === "." || id === "..") return invalid(`[${at}] must not be "." or ".."`);
    if (longerThan(id, MAX_USER_ID_CHARACTERS)) {
      return invalid(`[${at}] is longer than ${MAX_USER_ID_CHARACTERS} characters`);
    }
  }
  return ids.length === 1 ? ids : [...new Set<string>(ids)];
}

function decodeOccurredAt(text: string): number | Breach {
  const invalid = (message: string): Breach => ({ code: "invalid_occurred_at", message: `occurred_at_ms ${message}` });
  if (!/^[0-9]+$/.test(text)) {
    return invalid(`must be Unix milliseconds in decimal digits, got ${quote(text)}${notDigitsHint(text)}`);
  }
  const milliseconds = Number(text);
  if (milliseconds < MIN_OCCURRED_AT_MS || milliseconds >= END_OCCURRED_AT_MS) {
    const hint = timeUnitHint(milliseconds, { fromMs: MIN_OCCURRED_AT_MS, untilMs: END_OCCURRED_AT_MS });
    return invalid(`must lie in the years 2000 to 2100, got ${quote(text)}${hint}`);
  }
  return milliseconds;
}

function decodePayload(
  value: FieldValue,
  payloadProblem: (payload: unknown) => string | undefined,
): { readonly text: string; readonly value: unknown } | Breach {
  const invalid = (message: string): Breach => ({ code: "invalid_payload", message: `payload_json ${message}` });
  if (typeof value !== "string" || isPayloadTooLong(value)) return invalid(`is longer than ${MAX_PAYLOAD_BYTES} bytes`);
  const json = parseJsonText(value);
  if (json.kind === "refused") return invalid(json.message + jsonHint(value));
  if (typeof json.value !== "object" || json.value === null || Array.isArray(json.value)) {
    return invalid("must be a JSON object");
  }
  const problem = payloadProblem(json.value);
  if (problem !== undefined) return invalid(`does not match the type's schema: ${problem}`);
  return { text: value, value: json.value };
}

function isPayloadTooLong(value: FieldValue): boolean {
  return typeof value === "string" ? longerThanBytes(value, MAX_PAYLOAD_BYTES) : value.length > MAX_PAYLOAD_BYTES;
}

/** W3C Trace Context, level 2: version 00 exactly; a later version may go on after another dash. */
function usableTraceparent(value: FieldValue | undefined): string {
  if (typeof value !== "string" || value.length > MAX_TEXT_CHARACTERS) return "";
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?$/.exec(value);
  if (match === null) return "";
  const [, version, traceId, parentId, rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return "";
  return /^0+$/.test(traceId!) || /^0+$/.test(parentId!) ? "" : value;
}

function malformed(entry: StreamEntry, fields: Fields, { code, message }: Breach): Malformed {
  const readable = (name: FieldName) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
  return {
    kind: "malformed",
    entry,
    code,
    message: shortened(message),
    notificationType: readable("notification_type"),
    producer: readable("producer"),
    audienceKind: readable("audience_kind"),
    idempotencyKey: readable("idempotency_key"),
    requestId: readable("request_id"),
    traceId: readable("trace_id"),
    traceparent: usableTraceparent(fields.traceparent),
  };
}
