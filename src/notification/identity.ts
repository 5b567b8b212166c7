/**
 * The identity of an intent: the id of its notification, and the fingerprint that distinguishes a duplicate from a
 * conflict.
 *
 * Both depend only on the entry, so that a replay has the same id and the same fingerprint. The vectors in
 * `identity_test.ts` fix the exact bytes forever, because records keep them for their whole life.
 */
import { hash } from "node:crypto";
import { parseKeepingNumbers, writtenNumber } from "./json_numbers.ts";

/**
 * A version 7 UUID (RFC 9562): 48 bits of the entry's milliseconds (modulo 2⁴⁸), then the first 80 bits of
 * SHA-256(producer, NUL, key), of which version and variant overwrite six.
 */
export function notificationId(entryId: string, producer: string, idempotencyKey: string): string {
  const milliseconds = entryId.slice(0, entryId.indexOf("-"));
  const time = milliseconds.length <= 14
    ? Number(milliseconds).toString(16).padStart(12, "0")
    : BigInt.asUintN(48, BigInt(milliseconds)).toString(16).padStart(12, "0");
  const digest = hash("sha256", `${producer}\0${idempotencyKey}`, "hex");
  const variant = "89ab"[parseInt(digest[4]!, 16) & 3];
  return `${time.slice(0, 8)}-${time.slice(8)}-7${digest.slice(1, 4)}-${variant}${digest.slice(5, 8)}-${
    digest.slice(8, 20)
  }`;
}

/** The values that must agree for two intents of one key to be the same. */
export interface Sameness {
  readonly notificationType: string;
  readonly audienceKind: string;
  readonly recipientUserIds: readonly string[];
  /** The payload's text and its parsed value: an object that `parseJsonText` accepted. */
  readonly payload: string;
  readonly payloadValue: unknown;
}

/** SHA-256, hexadecimal, of type, audience, recipients as a sorted set, a line feed, and the canonical payload. */
export function requestFingerprint(intent: Sameness): string {
  const recipients = intent.recipientUserIds.length > 1
    ? [...new Set(intent.recipientUserIds)].sort(byCodePoint)
    : intent.recipientUserIds;
  const head = JSON.stringify([intent.notificationType, intent.audienceKind, recipients]);
  return hash("sha256", `${head}\n${canonicalPayload(intent.payload, intent.payloadValue)}`, "hex");
}

/**
 * JSON without white space: at every depth members are sorted by code point, the last of repeated members counts,
 * strings are compared by their value, numbers as they were written.
 */
export function canonicalPayload(text: string, value: unknown): string {
  return canonical(hasUnusualNumber.test(text) ? parseKeepingNumbers(text) : value);
}

/**
 * Whether `text` may contain a number that `JSON.stringify` would write in another way: a fraction, an exponent, a
 * minus zero, 16 digits or more. A match inside a string only costs the slower parse.
 */
const hasUnusualNumber = /[:[,\s](?:-0|-?\d+[.eE]|-?\d{16})/;

function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const number = writtenNumber(value);
  if (number !== undefined) return number;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).sort(byCodePoint);
  const members = names.map((name) => `${JSON.stringify(name)}:${canonical((value as Record<string, unknown>)[name])}`);
  return `{${members.join(",")}}`;
}

/** Compares by Unicode code points; JavaScript's own order is by UTF-16 units, which differs above U+FFFF. */
function byCodePoint(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a !== b) return aboveSurrogates(a) - aboveSurrogates(b);
  }
  return left.length - right.length;
}

/** Moves surrogates, which encode code points from U+10000, above the units from U+E000 to U+FFFF. */
function aboveSurrogates(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
