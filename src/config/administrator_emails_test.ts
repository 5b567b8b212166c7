/** ADMIN_EMAILS_<TYPE>: which type a variable belongs to, duplicates, refusals, and two types with one name. */
import assert from "node:assert/strict";
import { administratorEmailsName, readAdministratorEmails } from "./administrator_emails.ts";

const types = ["game.generation_failed", "lobby.application.submitted"];
const failed = "NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED";

function read(variables: Record<string, string>, administratorTypes: readonly string[] | undefined = types) {
  return readAdministratorEmails({ variables, notUtf8: [], files: {} }, administratorTypes);
}

Deno.test("administratorEmailsName() is the type in upper case with . : and - as _, as environment files allow", () => {
  assert.equal(administratorEmailsName("game.generation_failed"), failed);
  assert.equal(administratorEmailsName("game:round-2.failed"), "NOTIFICATION_ADMIN_EMAILS_GAME_ROUND_2_FAILED");
});

Deno.test("readAdministratorEmails() returns addresses in lower case and without duplicates", () => {
  const { addresses, problems, warnings } = read({ [failed]: "Ops@Example.com,dev@example.com,ops@example.COM" });
  assert.deepEqual(addresses, new Map([["game.generation_failed", ["ops@example.com", "dev@example.com"]]]));
  assert.deepEqual([problems, warnings], [[], []]);
});

Deno.test("readAdministratorEmails() returns no addresses for an empty or absent variable", () => {
  assert.deepEqual(read({ [failed]: "" }), { addresses: new Map(), problems: [], warnings: [] });
  assert.deepEqual(read({}), { addresses: new Map(), problems: [], warnings: [] });
});

Deno.test("readAdministratorEmails() refuses a list with an invalid address, and names its position", () => {
  const bad = ["x", "a@b.c,", ",a@b.c", "a@b.c, d@e.f", "Ops <a@b.c>", "a@b.c;d@e.f", " ", ","];
  for (const text of bad) {
    const { addresses, problems } = read({ [failed]: text });
    assert.equal(addresses.size, 0, text);
    assert.equal(problems.length, 1, text);
    assert.ok(
      problems[0]?.startsWith(`${failed} should be comma-separated e-mail addresses`),
      problems[0] ?? "nothing",
    );
  }
  assert.match(read({ [failed]: "a@b.c,secret stuff,d@e.f" }).problems.join(), /; number 2 of 3 is not one$/);
});

Deno.test("readAdministratorEmails() refuses a type without administrators, even if empty, with the nearest name", () => {
  for (const text of ["", "a@b.c"]) {
    assert.deepEqual(read({ NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILD: text }).problems, [
      "NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILD should name a notification type with administrators as an " +
      `audience; the nearest known name is ${failed}`,
    ]);
  }
  assert.match(read({ [failed]: "a@b.c" }, []).problems.join(), /; the catalog has none$/);
  assert.equal(read({ NOTIFICATION_ADMIN_EMAILS_: "a@b.c" }).problems.length, 1);
  assert.equal(read({ "NOTIFICATION_ADMIN_EMAILS_game.generation_failed": "a@b.c" }).problems.length, 1);
});

Deno.test("readAdministratorEmails() reports both an unknown type and invalid addresses", () => {
  assert.equal(read({ NOTIFICATION_ADMIN_EMAILS_X: "nobody" }).problems.length, 2);
});

Deno.test("readAdministratorEmails() also checks addresses if the catalog is invalid", () => {
  const result = readAdministratorEmails(
    { variables: { NOTIFICATION_ADMIN_EMAILS_X: "a@b.c", [failed]: "nobody" }, notUtf8: [], files: {} },
    undefined,
  );
  assert.equal(result.problems.length, 1);
  assert.ok(result.problems[0]?.startsWith(`${failed} should be comma-separated`));
});

Deno.test("readAdministratorEmails() refuses a variable that is not UTF-8, once for all types of its name", () => {
  const twins = ["a.b_c", "a.b.c"];
  const name = "NOTIFICATION_ADMIN_EMAILS_A_B_C";
  const { addresses, problems } = readAdministratorEmails({ variables: {}, notUtf8: [name], files: {} }, twins);
  assert.deepEqual([addresses.size, problems], [0, [`${name} should be UTF-8 text`]]);
});

Deno.test("readAdministratorEmails() returns one variable's addresses for both types of its name, and warns", () => {
  const twins = ["a.b_c", "a.b.c"];
  const { addresses, problems, warnings } = read({ NOTIFICATION_ADMIN_EMAILS_A_B_C: "x@y.z" }, twins);
  assert.deepEqual(addresses, new Map([["a.b_c", ["x@y.z"]], ["a.b.c", ["x@y.z"]]]));
  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, ["NOTIFICATION_ADMIN_EMAILS_A_B_C counts for several notification types: a.b_c, a.b.c"]);
  assert.deepEqual(read({}, twins).warnings, []);
});
