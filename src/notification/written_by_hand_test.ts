/** Common mistakes of clients with values that are not text, and the messages for their producers. */
import assert from "node:assert/strict";
import { entryWith } from "../../tests/support/examples.ts";
import { embeddedCatalog } from "./catalog.ts";
import { decode } from "./decode.ts";

function messageOf(changes: Parameters<typeof entryWith>[0]): string {
  const decoded = decode(entryWith(changes), embeddedCatalog());
  assert.equal(decoded.kind, "malformed");
  return decoded.kind === "malformed" ? decoded.message : "";
}

Deno.test("decode() recognises a list or a payload in a language's own notation", () => {
  const examples: [text: string, hint: RegExp][] = [
    ["['user-1', 'user-2']", /Python's own notation: send json\.dumps\(\)/],
    ["{'game_id': 'g7', 'turn_number': 12}", /Python's own notation/],
    ['{"a": True}', /Python's own notation/],
    ["None", /a language's word for no value/],
    ["Array", /PHP's word for an array: send json_encode\(\)/],
    ["[object Object]", /JavaScript's word for an object: send JSON\.stringify\(\)/],
    ["map[game_id:g7]", /Go's own notation: send json\.Marshal\(\)/],
    ['{"game_id"=>"g7"}', /Ruby's or Java's own notation/],
    ["{game_id=g7}", /Ruby's or Java's own notation/],
    ['{:game_id=>"g7"}', /Ruby's or Java's own notation/],
    ['{"game_id" => "g7"}', /Ruby's or Java's own notation/],
    ['{game_id: "g7"}', /Ruby's or Java's own notation/],
    ["True", /Python's own notation/],
    ['[True, "u"]', /Python's own notation/],
    ["[user-1 user-2]", /Go's own notation/],
    ["{g7 12}", /Go's own notation/],
    ["&{g7}", /Go's own notation/],
    ["[user-1, user-2]", /a list in Java's or Go's own notation, without quotes/],
    ["[user-1]", /a list in Java's or Go's own notation, without quotes/],
    ["user-1", /a text without brackets and quotes/],
    ["user-1,user-2", /a list without brackets and quotes/],
  ];
  for (const [text, hint] of examples) {
    for (const field of ["recipient_user_ids_json", "payload_json"]) {
      assert.match(messageOf({ [field]: text }), new RegExp(`^${field} is not JSON: .*${hint.source}`), text);
    }
  }
});

Deno.test("decode() takes no text that is almost JSON for another notation", () => {
  for (const text of ['["user-1"', '["user-1",]', '{"a":1,}', "[1, 2", "[]]", '{"a" 1}', "[1,,2]"]) {
    assert.match(
      messageOf({ recipient_user_ids_json: text }),
      /^recipient_user_ids_json is not JSON(?!.*; it is)/,
      text,
    );
  }
});

Deno.test("decode() names the kind of ids that are not texts", () => {
  assert.match(messageOf({ recipient_user_ids_json: "[1,2]" }), /\[0\] must be a string, got a number/);
  assert.match(messageOf({ recipient_user_ids_json: '[["user-1"]]' }), /\[0\] must be a string, got an array/);
  assert.match(messageOf({ recipient_user_ids_json: '["u",null]' }), /\[1\] must be a string, got null/);
  assert.match(messageOf({ recipient_user_ids_json: "[true]" }), /\[0\] must be a string, got a boolean/);
});

Deno.test("decode() names the probable unit of a time", () => {
  const examples: [text: string, hint: RegExp][] = [
    ["1767225600", /got "1767225600"; it looks like seconds: send a thousand times as much$/],
    ["1767225600000000", /looks like microseconds$/],
    ["1767225600000000000", /looks like nanoseconds$/],
    ["1767225600.25", /has a decimal point: send a whole number$/],
    ["1767225600000.0", /has a decimal point/],
    ["1.7672256e+12", /a float's notation/],
    ["2026-01-01T00:00:00Z", /looks like a date$/],
    ["None", /a language's word, not a time$/],
    ["True", /a language's word, not a time$/],
  ];
  for (const [text, hint] of examples) assert.match(messageOf({ occurred_at_ms: text }), hint, text);
  assert.match(messageOf({ occurred_at_ms: "12" }), /^occurred_at_ms must lie in the years 2000 to 2100, got "12"$/);
});
