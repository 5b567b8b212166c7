/**
 * The documents for neighbouring services are up to date, and match what the service reads and writes.
 * scripts/validators/asyncapi_test.ts checks them with AsyncAPI's parser.
 */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { clientEvent } from "../src/notification/client_event.ts";
import { mailCommand } from "../src/notification/mail_command.ts";
import { claimedRoute, VALID_FIELDS } from "../tests/support/examples.ts";
import { contracts, DOCS } from "./contracts.ts";
import { intentTypes, TYPES_FILE } from "./intent_types.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(path, DOCS));

/** Returns the errors of a value for one of the schemas. */
function problems(name: string, value: unknown): string {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, validateFormats: false });
  ajv.addKeyword("x-content-schema");
  const validate = ajv.compile(JSON.parse(read(`schemas/${name}.json`)));
  return validate(value) ? "" : ajv.errorsText(validate.errors);
}

function asObject(fields: readonly string[]): Record<string, string> {
  const pairs: [string, string][] = [];
  for (let at = 0; at < fields.length; at += 2) pairs.push([fields[at]!, fields[at + 1]!]);
  return Object.fromEntries(pairs);
}

Deno.test("docs/asyncapi.yaml and docs/schemas are current and contain no other files", () => {
  const wanted = contracts();
  for (const [path, text] of wanted) assert.equal(read(path), text, path);
  const there = [...Deno.readDirSync(new URL("schemas/", DOCS))].map(({ name }) => `schemas/${name}`);
  assert.deepEqual(there.sort(), [...wanted.keys()].filter((path) => path.startsWith("schemas/")).sort());
});

Deno.test("the types of the producer module are those of the catalog", () => {
  assert.equal(Deno.readTextFileSync(TYPES_FILE), intentTypes());
});

Deno.test("an intent, a client event and a mail command are valid by their schemas", () => {
  assert.equal(problems("intent.game.turn.ready", VALID_FIELDS), "");
  assert.equal(problems("payload.game.turn.ready", JSON.parse(VALID_FIELDS.payload_json)), "");
  assert.notEqual(problems("intent.game.turn.ready", { ...VALID_FIELDS, producer: "me" }), "");

  const event = asObject(clientEvent(claimedRoute()));
  assert.equal(problems("client_event", event), "");
  // Intents of this type are for administrators and lead only to mail.
  assert.notEqual(problems("client_event", { ...event, event_type: "game.generation_failed" }), "");
  const mail = asObject(mailCommand(claimedRoute({ recipientEmail: "a@example.com" })));
  assert.equal(problems("mail_command", mail), "");
  const payload = JSON.parse(mail["payload_json"]!);
  assert.equal(problems("mail_payload", payload), "");
  assert.notEqual(problems("mail_payload", { ...payload, template_id: "notification.smoke_test" }), "");
});
