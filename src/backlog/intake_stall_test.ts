/** What is written about a stall, and that unreadable text counts as no stall. */
import assert from "node:assert/strict";
import { parseStall, stallText } from "./intake_stall.ts";

Deno.test("parseStall() reads what StallNote writes, and nothing else", () => {
  const stall = { dependency: "user_service", reason: "r", entryId: "1-0", recipient: "u" };
  assert.deepEqual(parseStall(JSON.stringify(stall)), stall);
  for (
    const text of [
      "",
      "x",
      "null",
      "[]",
      "{}",
      '{"dependency":1,"reason":"r"}',
      '{"dependency":"d","reason":"r","entryId":1}',
    ]
  ) {
    assert.equal(parseStall(text), undefined, text);
  }
});

Deno.test("stallText() names the entry, the recipient and the answer, as far as they are known", () => {
  assert.equal(
    stallText({ dependency: "user_service", reason: "it answered with status 503", entryId: "1-0", recipient: "u" }),
    'entry 1-0 waits for user "u": it answered with status 503 (user_service)',
  );
  assert.equal(stallText({ dependency: "postgres", reason: "r", entryId: "1-0" }), "entry 1-0 waits for postgres: r");
  assert.equal(stallText({ dependency: "postgres", reason: "r" }), "intake waits for postgres: r");
});
