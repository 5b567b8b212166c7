/**
 * That the documents for neighbours are current, and that what the service writes and reads is what they say. That they
 * are valid by AsyncAPI's own parser is scripts/validators/asyncapi_test.ts.
 */
import assert from "node:assert/strict";
import { z } from "zod";
import { clientEvent } from "../src/notification/client_event.ts";
import { mailCommand } from "../src/notification/mail_command.ts";
import { claimedRoute, VALID_FIELDS } from "../tests/support/examples.ts";
import { contracts, DOCS } from "./contracts.ts";
import { intentTypes, TYPES_FILE } from "./intent_types.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(path, DOCS));

function schemaOf(name: string): z.ZodType {
  return z.fromJSONSchema(JSON.parse(read(`schemas/${name}.json`)));
}

function asObject(fields: readonly string[]): Record<string, string> {
  const pairs: [string, string][] = [];
  for (let at = 0; at < fields.length; at += 2) pairs.push([fields[at]!, fields[at + 1]!]);
  return Object.fromEntries(pairs);
}

Deno.test("docs/asyncapi.yaml and docs/schemas are current, and nothing else is there", () => {
  const wanted = contracts();
  for (const [path, text] of wanted) assert.equal(read(path), text, path);
  const there = [...Deno.readDirSync(new URL("schemas/", DOCS))].map(({ name }) => `schemas/${name}`);
  assert.deepEqual(there.sort(), [...wanted.keys()].filter((path) => path.startsWith("schemas/")).sort());
});

Deno.test("the producer module's types are the catalog's", () => {
  assert.equal(Deno.readTextFileSync(TYPES_FILE), intentTypes());
});

Deno.test("an intent, a client event and a mail command are what their schemas say", () => {
  schemaOf("intent.game.turn.ready").parse(VALID_FIELDS);
  schemaOf("payload.game.turn.ready").parse(JSON.parse(VALID_FIELDS.payload_json));
  assert.throws(() => schemaOf("intent.game.turn.ready").parse({ ...VALID_FIELDS, producer: "me" }));

  const event = asObject(clientEvent(claimedRoute()));
  schemaOf("client_event").parse(event);
  // Mail alone, for administrators.
  assert.throws(() => schemaOf("client_event").parse({ ...event, event_type: "game.generation_failed" }));
  const mail = asObject(mailCommand(claimedRoute({ recipientEmail: "a@example.com" })));
  schemaOf("mail_command").parse(mail);
  const payload = JSON.parse(mail["payload_json"]!);
  schemaOf("mail_payload").parse(payload);
  assert.throws(() => schemaOf("mail_payload").parse({ ...payload, template_id: "notification.smoke_test" }));
});
