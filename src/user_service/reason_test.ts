/** The reason in `fetch`'s errors, as both supported versions of Deno word them. */
import assert from "node:assert/strict";
import { reasonOf } from "./reason.ts";

const sending = (detail: string) =>
  `error sending request for url (https://users/api/v1/internal/users/a(b): c): client error (Connect): ${detail}`;

Deno.test("reasonOf() names TLS and the setting when a certificate is refused, and never the user", () => {
  const message = sending("invalid peer certificate: UnknownIssuer");
  for (const error of [new TypeError(message), new TypeError("fetch failed", { cause: new Error(message) })]) {
    assert.equal(
      reasonOf(error),
      "the TLS handshake failed: invalid peer certificate: UnknownIssuer; DENO_CERT names an authority to trust: " +
        "docs/deployment.md, TLS",
    );
  }
});

Deno.test("reasonOf() returns other reasons why a connection fails", () => {
  const refused = sending("tcp connect error: Connection refused (os error 111)");
  assert.equal(
    reasonOf(new TypeError(refused)),
    "it can't be reached: tcp connect error: Connection refused (os error 111)",
  );
  for (const unknown of [new TypeError("fetch failed"), "text", undefined, new Error("https://users/secret")]) {
    assert.equal(reasonOf(unknown), "it can't be reached");
  }
});
