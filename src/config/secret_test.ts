/** Every way of printing a Secret shows "[redacted]"; only reveal() returns the text. */
import assert from "node:assert/strict";
import { format, inspect } from "node:util";
import fc from "fast-check";
import { Secret } from "./secret.ts";

Deno.test("Secret prints as [redacted] however it is printed", () => {
  const secret = new Secret("hunter2");
  const texts = [
    String(secret),
    `${secret}`,
    "" + secret,
    secret.toString(),
    JSON.stringify(secret),
    JSON.stringify({ deep: [secret] }),
    Deno.inspect(secret),
    Deno.inspect({ deep: new Map([["secret", secret]]) }, { showHidden: true, depth: 9 }),
    inspect(secret, { showHidden: true }),
    format("%s %o %O %j", secret, secret, secret, secret),
  ];
  for (const printed of texts) {
    assert.ok(printed.includes("[redacted]"), printed);
    assert.ok(!printed.includes("hunter2"), printed);
  }
  assert.ok(Number.isNaN(Number(secret)));
  assert.deepEqual(Object.getOwnPropertyNames(secret), []);
});

Deno.test("Secret reveals exactly what it was given", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert.equal(new Secret(text).reveal(), text);
  }));
});
