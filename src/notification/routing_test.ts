/** Who gets which routes: the table in section 5 of docs/contract.md. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { embeddedCatalog } from "./catalog.ts";
import { type Addressees, routesOf } from "./routing.ts";

const catalog = embeddedCatalog();

function routes(type: string, addressees: Partial<Addressees>) {
  return routesOf({
    type: catalog.get(type)!,
    audienceKind: "user",
    users: [],
    administratorEmails: [],
    ...addressees,
  });
}

Deno.test("routesOf() returns a push route and an e-mail route for each user", () => {
  const users = [
    { userId: "user-1", email: "one@example.com", language: "de" },
    { userId: "a:b/c", email: "Two@Example.com", language: "" },
  ];
  assert.deepEqual(routes("game.turn.ready", { users }), [
    { routeId: "push:user:user-1", channel: "push", recipient: "user:user-1", recipientEmail: "", locale: "de" },
    {
      routeId: "email:user:user-1",
      channel: "email",
      recipient: "user:user-1",
      recipientEmail: "one@example.com",
      locale: "de",
    },
    { routeId: "push:user:a:b/c", channel: "push", recipient: "user:a:b/c", recipientEmail: "", locale: "" },
    {
      routeId: "email:user:a:b/c",
      channel: "email",
      recipient: "user:a:b/c",
      recipientEmail: "Two@Example.com",
      locale: "",
    },
  ]);
});

Deno.test("routesOf() skips only the e-mail route of a user without an address", () => {
  const users = [{ userId: "user-1", email: "", language: "fr" }];
  assert.deepEqual(routes("game.turn.ready", { users }).map(({ channel, skipped }) => [channel, skipped]), [
    ["push", undefined],
    ["email", "recipient_email_missing"],
  ]);
});

Deno.test("routesOf() uses the channels of the type", () => {
  const users = [{ userId: "user-1", email: "a@b", language: "" }];
  const channels = (type: string) => routes(type, { users }).map(({ channel }) => channel);
  assert.deepEqual(channels("notification.smoke_test"), ["push"]);
  assert.deepEqual(channels("lobby.invite.expired"), ["email"]);
  assert.deepEqual(channels("lobby.application.submitted"), ["push", "email"]);
  assert.deepEqual(channels("game.generation_failed"), []);
});

Deno.test("routesOf() returns an e-mail route for each administrator's address", () => {
  const administratorEmails = ["ops@example.com", "dev@example.com"];
  assert.deepEqual(
    routes("game.generation_failed", { audienceKind: "admin_email", administratorEmails }),
    administratorEmails.map((address) => ({
      routeId: `email:address:${address}`,
      channel: "email",
      recipient: `email:${address}`,
      recipientEmail: address,
      locale: "",
    })),
  );
});

Deno.test("routesOf() returns a skipped route if no administrator is configured", () => {
  assert.deepEqual(routes("game.generation_failed", { audienceKind: "admin_email" }), [{
    routeId: "email:config:game.generation_failed",
    channel: "email",
    recipient: "config:game.generation_failed",
    recipientEmail: "",
    locale: "",
    skipped: "admin_emails_not_configured",
  }]);
});

Deno.test("routesOf() never returns two routes with one id, nor a route without address that is not skipped", () => {
  const user = fc.record({
    userId: fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom("user:a", "email:user:a", "address:a")),
    email: fc.constantFrom("", "a@b", "c@d"),
    language: fc.constantFrom("", "en"),
  });
  const users = fc.uniqueArray(user, { selector: ({ userId }) => userId });
  const administratorEmails = fc.uniqueArray(fc.constantFrom("a@b", "c@d"));
  fc.assert(
    fc.property(
      fc.constantFrom(...catalog.keys()),
      fc.constantFrom("user", "admin_email"),
      users,
      administratorEmails,
      (type, audienceKind, users, administratorEmails) => {
        const all = routes(type, { audienceKind, users, administratorEmails });
        assert.equal(new Set(all.map(({ routeId }) => routeId)).size, all.length);
        for (const { routeId, channel, recipientEmail, skipped } of all) {
          assert.ok(routeId.startsWith(`${channel}:`));
          assert.equal(recipientEmail === "", channel === "push" || skipped !== undefined);
        }
      },
    ),
  );
});
