/**
 * An entry of the intent stream → what the service has to do with it, according to the harness's own model
 * (`notification_model.ts`) and not to the service's code.
 *
 * Only the entry itself is needed, so an entry whose XADD was never answered can be judged as well.
 */
import { hash } from "node:crypto";
import { ADMINISTRATOR_TYPES, administratorRoutes, type ExpectedRoute, userRoutes } from "./notification_model.ts";

export interface SentEntry {
  readonly entryId: string;
  /** The producer's own number. */
  readonly number: number;
  readonly parsed: ParsedEntry;
}

type ParsedEntry =
  | { readonly kind: "malformed"; readonly code: string }
  | {
    readonly kind: "intent";
    /** The id of the notification if the entry is accepted (docs/contract.md, section 4). */
    readonly notificationId: string;
    readonly key: string;
    /** Two intents with the same key are duplicates if their contents are equal. */
    readonly content: string;
    readonly payload: string;
    /** `undefined` if one of the recipients does not exist. */
    readonly routes: readonly ExpectedRoute[] | undefined;
  };

export function sentEntry(entryId: string, values: readonly string[]): SentEntry {
  const fields: Record<string, string> = {};
  for (let at = 0; at < values.length; at += 2) fields[values[at]!] = values[at + 1]!;
  const number = Number(fields["chaos_number"]);
  if (!Number.isInteger(number)) throw new Error(`Entry ${entryId} was not sent by this harness`);
  const code = fields["chaos_failure"] ?? "";
  return { entryId, number, parsed: code === "" ? intentOf(entryId, fields) : { kind: "malformed", code } };
}

function intentOf(entryId: string, fields: Readonly<Record<string, string>>): ParsedEntry {
  const type = fields["notification_type"]!;
  const recipients: string[] = JSON.parse(fields["recipient_user_ids_json"] ?? "[]");
  const payload = fields["payload_json"]!;
  return {
    kind: "intent",
    notificationId: notificationId(entryId, `${fields["producer"]}\0${fields["idempotency_key"]}`),
    key: `${fields["producer"]} ${fields["idempotency_key"]}`,
    content: JSON.stringify([type, [...new Set(recipients)].sort(), payload]),
    payload,
    routes: type in ADMINISTRATOR_TYPES && fields["audience_kind"] === "admin_email"
      ? administratorRoutes(type)
      : userRoutes(type, recipients),
  };
}

/** UUID version 7 (RFC 9562): 48 bits of time, then bits of the hash, except the version and variant bits. */
function notificationId(entryId: string, key: string): string {
  const bits = BigInt(`0x${hash("sha256", key, "hex").slice(0, 20)}`);
  const tail = (bits & ~(0xfn << 76n) & ~(0x3n << 62n)) | (0x7n << 76n) | (0x2n << 62n);
  const hex = entryMs(entryId).toString(16).padStart(12, "0") + tail.toString(16).padStart(20, "0");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The milliseconds of an entry id. */
export function entryMs(entryId: string): number {
  return Number(entryId.slice(0, entryId.indexOf("-")));
}

/** The milliseconds of the entry that a notification's id was made from. */
export function notificationMs(deliveryId: string): number {
  return parseInt(deliveryId.slice(0, 8) + deliveryId.slice(9, 13), 16);
}

export function isUpTo(entryId: string, ms: number): boolean {
  return entryMs(entryId) <= ms;
}
