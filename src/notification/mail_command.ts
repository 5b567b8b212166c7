/**
 * A claimed e-mail route → the entry of `mail:delivery_commands`, as names and values in turn. docs/contract.md,
 * section 7.
 */
import { addCorrelation } from "./client_event.ts";
import { type ClaimedRoute, deliveryId } from "./route.ts";

/** The language of a mail if the recipient's language is unknown. */
const DEFAULT_LOCALE = "en";

export function mailCommand(route: ClaimedRoute): string[] {
  const id = deliveryId(route);
  const fields = [
    "delivery_id",
    id,
    "source",
    "notification",
    "payload_mode",
    "template",
    "idempotency_key",
    `notification:${id}`,
    "requested_at_ms",
    route.record.acceptedAtMs,
    "payload_json",
    mailPayload(route),
  ];
  addCorrelation(fields, route);
  return fields;
}

/** Built as text, because parsing and printing the payload would change the digits of its numbers. */
function mailPayload({ record, recipientEmail, locale }: ClaimedRoute): string {
  return `{"to": [${JSON.stringify(recipientEmail)}], "cc": [], "bcc": [], "reply_to": [], "attachments": [], ` +
    `"template_id": ${JSON.stringify(record.notificationType)}, ` +
    `"locale": ${JSON.stringify(locale === "" ? DEFAULT_LOCALE : locale)}, "variables": ${record.payload}}`;
}
