/**
 * The catalog and the fields of the contract → documents for the developers of neighbouring services:
 * docs/asyncapi.yaml (AsyncAPI 3.0) for the three streams, and docs/schemas/*.json (JSON Schema 2020-12) for payloads,
 * stream entries, client events and mail commands.
 *
 * `deno run --allow-read --allow-write --allow-env scripts/contracts.ts` writes them; a test keeps them current.
 */
import { stringify } from "yaml";
import denoJson from "../deno.json" with { type: "json" };
import { type CatalogType, embeddedCatalog } from "../src/notification/catalog.ts";
import { clientEventFields, intentFields, mailCommandFields, mailPayload, type Schema } from "./contracts/fields.ts";

export const DOCS = new URL("../docs/", import.meta.url);
const DIALECT = "https://json-schema.org/draft/2020-12/schema";

/** Texts by path relative to docs/. */
export function contracts(): Map<string, string> {
  const types = [...embeddedCatalog().values()];
  const schemas = new Map<string, Schema>([
    ["client_event", clientEventFields(types)],
    ["mail_command", mailCommandFields()],
    ["mail_payload", mailPayload(types)],
    ...types.map((type) => [`intent.${type.name}`, intentFields(type)] as const),
    ...types.map((type) => [`payload.${type.name}`, titled(type)] as const),
  ]);
  const files = new Map<string, string>();
  for (const [name, schema] of schemas) {
    files.set(`schemas/${name}.json`, `${JSON.stringify({ $schema: DIALECT, ...schema }, null, 2)}\n`);
  }
  return files.set("asyncapi.yaml", asyncapi(types, schemas));
}

function titled({ name, description, payloadSchema }: CatalogType): Schema {
  return { title: `Payload of ${name}`, description, ...payloadSchema };
}

function asyncapi(types: readonly CatalogType[], schemas: ReadonlyMap<string, Schema>): string {
  const ref = (place: string) => ({ $ref: `#/${place}` });
  const message = (title: string, schema: string) => ({ title, payload: ref(`components/schemas/${schema}`) });
  const channel = (address: string, description: string, messages: readonly string[]) => ({
    address,
    description,
    servers: [ref("servers/redis")],
    messages: Object.fromEntries(messages.map((name) => [name, ref(`components/messages/${name}`)])),
  });
  const operation = (action: "send" | "receive", name: string, summary: string) => ({
    action,
    channel: ref(`channels/${name}`),
    summary,
  });
  const intents = types.map(({ name }) => `intent.${name}`);
  const document = {
    asyncapi: "3.0.0",
    info: {
      title: "Notification Service",
      version: denoJson.version,
      description:
        "Relays intents to push and mail, each exactly once. A message is one entry of a Redis stream; its " +
        "payload is the entry's fields, which are all text. Seen from the Notification Service: it receives intents and " +
        "sends client events and mail commands.",
      license: { name: denoJson.license },
    },
    servers: { redis: { host: "redis:6379", protocol: "redis", description: "The platform's Redis master" } },
    defaultContentType: "application/json",
    channels: {
      intents: channel(
        "notification:intents",
        "Inbound: requests of producers to notify users or administrators. XADD; never trimmed by the service.",
        intents,
      ),
      clientEvents: channel(
        "gateway:client-events",
        "Outbound: one entry a push route, for the Gateway. event_id is unique.",
        ["client_event"],
      ),
      mailCommands: channel(
        "mail:delivery_commands",
        "Outbound: one entry an e-mail route, for the Mail Service. delivery_id and idempotency_key are unique.",
        ["mail_command"],
      ),
    },
    operations: {
      receiveIntents: operation("receive", "intents", "Accept an intent once by its key, or record what is malformed"),
      sendClientEvents: operation("send", "clientEvents", "Publish a push route, once"),
      sendMailCommands: operation("send", "mailCommands", "Publish an e-mail route, once"),
    },
    components: {
      messages: Object.fromEntries([
        ...types.map(({ name, description }) => [
          `intent.${name}`,
          { ...message(name, `intent.${name}`), summary: description },
        ]),
        ["client_event", message("Client event", "client_event")],
        ["mail_command", message("Mail command", "mail_command")],
      ]),
      schemas: Object.fromEntries(schemas),
    },
  };
  const head = "# Made by scripts/contracts.ts from the catalog and the contract's fields; a test keeps it current.\n";
  return head + stringify(document, { lineWidth: 120, aliasDuplicateObjects: false });
}

if (import.meta.main) {
  await Deno.mkdir(new URL("schemas/", DOCS), { recursive: true });
  for (const [path, text] of contracts()) await Deno.writeTextFile(new URL(path, DOCS), text);
}
