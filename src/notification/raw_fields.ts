/**
 * A malformed entry's fields → the JSON for `malformed_intents.raw_fields`.
 *
 * The JSON is an array of `[name, value]` pairs in the entry's order. A value that JSONB cannot store (bytes that are
 * not UTF-8, NUL) is `{"base64": "…"}`; a value over 1 MiB is `{"text": "…" or "base64": "…", "length": bytes,
 * "sha256": hex}` with its beginning. At most 4 MiB are kept in total (each pair counts 8 bytes more than its texts),
 * and a last pair `[null, {"omitted_fields": n, "omitted_bytes": n}]` counts the fields beyond that.
 */
import { hash } from "node:crypto";
import { Buffer } from "node:buffer";
import type { CutValue, FieldValue, StreamEntry } from "./stream_entry.ts";

export const MAX_VALUE_BYTES = 1024 * 1024;
export const MAX_KEPT_BYTES = 4 * 1024 * 1024;
/** `["",""],` around a name and its value, so that a million empty fields are bounded too. */
const PAIR_BYTES = 8;

type KeptValue =
  | string
  | { readonly base64: string }
  | ({ readonly text: string } | { readonly base64: string }) & { readonly length: number; readonly sha256: string };

export function rawFields(entry: StreamEntry): string {
  const pairs: [KeptValue | null, unknown][] = [];
  let room = MAX_KEPT_BYTES;
  let omittedFields = entry.omitted?.fields ?? 0;
  let omittedBytes = entry.omitted?.bytes ?? 0;
  for (let at = 0; at + 1 < entry.fields.length; at += 2) {
    const name = entry.fields[at]!;
    const value = entry.fields[at + 1]!;
    if (room <= 0 || omittedFields > (entry.omitted?.fields ?? 0)) {
      omittedFields++;
      omittedBytes += byteLength(name) + byteLength(value);
      continue;
    }
    const keptName = keep(name, room);
    room -= keptName.bytes + PAIR_BYTES;
    const keptValue = keep(value, Math.max(room, 0));
    room -= keptValue.bytes;
    pairs.push([keptName.value, keptValue.value]);
  }
  if (omittedFields > 0) pairs.push([null, { omitted_fields: omittedFields, omitted_bytes: omittedBytes }]);
  return JSON.stringify(pairs);
}

function keep(value: FieldValue, room: number): { value: KeptValue; bytes: number } {
  const limit = Math.min(MAX_VALUE_BYTES, room);
  const bytes = byteLength(value);
  if (bytes <= limit && !isCut(value)) {
    const text = typeof value === "string" && !value.includes("\0");
    return { value: text ? value : { base64: base64(value) }, bytes };
  }
  return cutTo(value, limit);
}

function cutTo(value: FieldValue, limit: number): { value: KeptValue; bytes: number } {
  const { head, length, sha256 } = isCut(value) ? value : wholeAsCut(value);
  const kept = head.subarray(0, limit);
  const text = textOfHead(kept);
  return {
    value: { ...(text === undefined ? { base64: base64(kept) } : { text }), length, sha256 },
    bytes: kept.length,
  };
}

function wholeAsCut(value: string | Uint8Array): CutValue {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return { head: bytes, length: bytes.length, sha256: hash("sha256", bytes, "hex") };
}

/** The head as text, without a character that the cut divides; `undefined` if JSONB can't store it. */
function textOfHead(head: Uint8Array): string | undefined {
  for (let end = head.length; end >= Math.max(0, head.length - 3); end--) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(head.subarray(0, end));
      return text.includes("\0") ? undefined : text;
    } catch {
      // The cut may divide a character: try with fewer bytes.
    }
  }
  return undefined;
}

function base64(value: string | Uint8Array): string {
  return (typeof value === "string" ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.length))
    .toString("base64");
}

function isCut(value: FieldValue): value is CutValue {
  return typeof value !== "string" && !(value instanceof Uint8Array);
}

function byteLength(value: FieldValue): number {
  return typeof value === "string" ? Buffer.byteLength(value) : value.length;
}
