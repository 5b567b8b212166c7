/** The entry of the mail stream, field by field; its payload is valid JSON with the producer's text inside. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { mailCommand } from "./mail_command.ts";
import { claimedRoute } from "../../tests/support/examples.ts";

const valueOf = (fields: readonly string[], name: string) => fields[fields.indexOf(name) + 1]!;

Deno.test("mailCommand() has the fields of the contract, in its order", () => {
  const payload = '{"turn_number": 12345678901234567890, "price":1.10,"name":"\\u2603☃"}';
  const route = claimedRoute({
    routeId: "email:user:user-1",
    recipientEmail: "one@example.com",
    locale: "de-AT",
    record: { payload },
  });
  const id = `${route.record.notificationId}/email:user:user-1`;
  assert.deepEqual(mailCommand(route), [
    ...["delivery_id", id],
    ...["source", "notification"],
    ...["payload_mode", "template"],
    ...["idempotency_key", `notification:${id}`],
    ...["requested_at_ms", "1763000000123"],
    "payload_json",
    '{"to": ["one@example.com"], "cc": [], "bcc": [], "reply_to": [], "attachments": [], ' +
    `"template_id": "game.turn.ready", "locale": "de-AT", "variables": ${payload}}`,
  ]);
  const known = claimedRoute({ record: { requestId: "r-1", traceId: "t-1", traceparent: "00-1" } });
  assert.deepEqual(mailCommand(known).slice(12), ["request_id", "r-1", "trace_id", "t-1", "traceparent", "00-1"]);
});

Deno.test("mailCommand() uses English if the language is unknown", () => {
  assert.equal(JSON.parse(valueOf(mailCommand(claimedRoute()), "payload_json")).locale, "en");
});

Deno.test("mailCommand() is the same byte for byte when it is repeated, and always has valid JSON", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1 });
  const payload = fc.tuple(fc.dictionary(text, fc.jsonValue()), fc.constantFrom("", " ", "\n")).map(([value, space]) =>
    space + JSON.stringify(value) + space
  );
  fc.assert(fc.property(text, text, text, payload, (recipientEmail, locale, notificationType, payload) => {
    const route = claimedRoute({ recipientEmail, locale, record: { notificationType, payload } });
    assert.deepEqual(mailCommand(route), mailCommand(structuredClone(route)));
    assert.deepEqual(JSON.parse(valueOf(mailCommand(route), "payload_json")), {
      to: [recipientEmail],
      cc: [],
      bcc: [],
      reply_to: [],
      attachments: [],
      template_id: notificationType,
      locale,
      variables: JSON.parse(payload),
    });
  }));
});
