/**
 * The fields of the three streams' entries as JSON Schemas (docs/contract.md, sections 2 and 7). Fields are text; a
 * field that contains JSON has a contentMediaType and refers to the schema of this JSON.
 */
import { MAX_RECIPIENTS } from "../../src/notification/field_values.ts";
import { REQUIRED_FIELDS } from "../../src/notification/intent_fields.ts";
import type { CatalogType } from "../../src/notification/catalog.ts";
import type { Channel } from "../../src/notification/route.ts";

export type Schema = Readonly<Record<string, unknown>>;

const text = (description: string, more: Schema = {}): Schema => ({ type: "string", description, ...more });
const json = (description: string, schema: string): Schema => ({
  ...text(description, { contentMediaType: "application/json" }),
  "x-content-schema": `schemas/${schema}.json`,
});

const MILLISECONDS = { pattern: "^[0-9]+$" };
const CORRELATION: Readonly<Record<string, Schema>> = {
  request_id: text("The producer's, where known", { maxLength: 256 }),
  trace_id: text("The producer's, where known", { maxLength: 256 }),
  traceparent: text("W3C Trace Context"),
};

/** An entry of `notification:intents`. Other fields are ignored. */
export function intentFields({ name, description, producers, audiences }: CatalogType): Schema {
  const kinds = Object.keys(audiences);
  const recipients = {
    recipient_user_ids_json: text(
      `For audience_kind user: JSON array of 1 to ${MAX_RECIPIENTS} user ids of 1 to 128 characters; else absent`,
      { contentMediaType: "application/json" },
    ),
  };
  return {
    title: `Intent ${name}`,
    description,
    type: "object",
    required: [
      ...REQUIRED_FIELDS,
      ...(kinds.includes("admin_email") ? [] : ["recipient_user_ids_json"]),
    ],
    properties: {
      notification_type: { const: name },
      producer: { enum: [...producers] },
      audience_kind: { enum: kinds },
      ...(kinds.includes("user") ? recipients : {}),
      idempotency_key: text("The producer's own; the same key and content count once", {
        minLength: 1,
        maxLength: 256,
      }),
      occurred_at_ms: text("Unix milliseconds, years 2000 to 2100", MILLISECONDS),
      payload_json: json("JSON object of at most 256 KiB, which passes through as it is written", `payload.${name}`),
      ...CORRELATION,
    },
  };
}

/** An entry of `gateway:client-events`. */
export function clientEventFields(types: readonly CatalogType[]): Schema {
  return {
    title: "Client event",
    type: "object",
    required: ["user_id", "event_type", "event_id", "payload_bytes", "occurred_at_ms"],
    properties: {
      user_id: text("The user to notify"),
      event_type: { description: "The notification type", enum: typesOf(types, "push") },
      event_id: text("<notification_id>/<route_id>, unique"),
      payload_bytes: text("The producer's payload as it was written; its schema is the notification type's", {
        contentMediaType: "application/json",
      }),
      occurred_at_ms: text("The producer's, Unix milliseconds", MILLISECONDS),
      ...CORRELATION,
    },
  };
}

function typesOf(types: readonly CatalogType[], channel: Channel): string[] {
  return types.filter(({ audiences }) => Object.values(audiences).some((channels) => channels.includes(channel)))
    .map(({ name }) => name);
}

/** An entry of `mail:delivery_commands`. */
export function mailCommandFields(): Schema {
  return {
    title: "Mail command",
    type: "object",
    required: [
      ...["delivery_id", "source", "payload_mode", "idempotency_key", "requested_at_ms", "payload_json"],
    ],
    properties: {
      delivery_id: text("<notification_id>/<route_id>, unique"),
      source: { const: "notification" },
      payload_mode: { const: "template" },
      idempotency_key: text("notification:<notification_id>/<route_id>"),
      requested_at_ms: text("When the intent was accepted, Unix milliseconds", MILLISECONDS),
      payload_json: json("The mail", "mail_payload"),
      ...CORRELATION,
    },
  };
}

/** The content of `payload_json` in a mail command. */
export function mailPayload(types: readonly CatalogType[]): Schema {
  const none = { type: "array", maxItems: 0 };
  return {
    title: "Mail",
    type: "object",
    required: ["to", "cc", "bcc", "reply_to", "attachments", "template_id", "locale", "variables"],
    properties: {
      to: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 1 },
      cc: none,
      bcc: none,
      reply_to: none,
      attachments: none,
      template_id: { description: "The notification type", enum: typesOf(types, "email") },
      locale: text("The recipient's language, en where it is not known"),
      variables: { type: "object", description: "The producer's payload as it was written" },
    },
  };
}
