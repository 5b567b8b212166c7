/** The value of one field → its parsed value, or how it breaks the field's rule. Pure. */
import type { AudienceKind } from "./catalog.ts";
import type { MalformedCode } from "./intent.ts";
import { parseJsonText } from "./json_text.ts";
import { kindOf, longerThan, longerThanBytes, quote } from "./message_text.ts";
import type { FieldValue } from "./stream_entry.ts";
import { jsonHint, notDigitsHint, timeUnitHint } from "./written_by_hand.ts";

export const MAX_PAYLOAD_BYTES = 256 * 1024;
export const MAX_RECIPIENTS = 10_000;
export const MAX_TEXT_CHARACTERS = 256;
const MAX_USER_ID_CHARACTERS = 128;
/** Years 2000 to 2100. */
const MIN_OCCURRED_AT_MS = Date.UTC(2000, 0, 1);
const END_OCCURRED_AT_MS = Date.UTC(2101, 0, 1);

/** A broken rule. */
export interface Breach {
  readonly code: MalformedCode;
  readonly message: string;
}

export function decodeRecipients(value: FieldValue, audienceKind: AudienceKind): readonly string[] | Breach {
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

export function decodeOccurredAt(text: string): number | Breach {
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

export function decodePayload(
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

export function isPayloadTooLong(value: FieldValue): boolean {
  return typeof value === "string" ? longerThanBytes(value, MAX_PAYLOAD_BYTES) : value.length > MAX_PAYLOAD_BYTES;
}

/** W3C Trace Context, level 2: version 00 has exactly this form; a later version may continue after another dash. */
export function usableTraceparent(value: FieldValue | undefined): string {
  if (typeof value !== "string" || value.length > MAX_TEXT_CHARACTERS) return "";
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?$/.exec(value);
  if (match === null) return "";
  const [, version, traceId, parentId, rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return "";
  return /^0+$/.test(traceId!) || /^0+$/.test(parentId!) ? "" : value;
}
