/** ADMIN_EMAILS_<TYPE>: which type a variable belongs to, folding, refusals, and two types under one name. */
import assert from "node:assert/strict";
import { administratorEmailsName, readAdministratorEmails } from "./administrator_emails.ts";

const types = ["game.generation_failed", "lobby.application.submitted"];
const failed = "NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED";

function read(variables: Record<string, string>, administratorTypes: readonly string[] | undefined = types) {
  return readAdministratorEmails({ variables, notUtf8: [], files: {} }, administratorTypes);
}

Deno.test("administratorEmailsName() is the type in upper case with . : and - as _, which an environment file can have", () => {
  assert.equal(administratorEmailsName("game.generation_failed"), failed);
  assert.equal(administratorEmailsName("game:round-2.failed"), "NOTIFICATION_ADMIN_EMAILS_GAME_ROUND_2_FAILED");
});

Deno.test("readAdministratorEmails() lower-cases addresses and folds duplicates", () => {
  const { addresses, problems, warnings } = read({ [failed]: "Ops@Example.com,dev@example.com,ops@example.COM" });
  assert.deepEqual(addresses, new Map([["game.generation_failed", ["ops@example.com", "dev@example.com"]]]));
  assert.deepEqual([problems, warnings], [[], []]);
});

Deno.test("readAdministratorEmails() takes an empty or absent variable for no addresses", () => {
  assert.deepEqual(read({ [failed]: "" }), { addresses: new Map(), problems: [], warnings: [] });
  assert.deepEqual(read({}), { addresses: new Map(), problems: [], warnings: [] });
});

Deno.test("readAdministratorEmails() refuses what is not a list of plain addresses, and says which one", () => {
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

Deno.test("readAdministratorEmails() refuses a type without administrators, even if empty, and names the nearest", () => {
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

Deno.test("readAdministratorEmails() says both that the type is unknown and that the addresses are wrong", () => {
  assert.equal(read({ NOTIFICATION_ADMIN_EMAILS_X: "nobody" }).problems.length, 2);
});

Deno.test("readAdministratorEmails() still checks addresses when the catalog is broken", () => {
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

Deno.test("readAdministratorEmails() gives one variable's addresses to both types of that name, with a warning", () => {
  const twins = ["a.b_c", "a.b.c"];
  const { addresses, problems, warnings } = read({ NOTIFICATION_ADMIN_EMAILS_A_B_C: "x@y.z" }, twins);
  assert.deepEqual(addresses, new Map([["a.b_c", ["x@y.z"]], ["a.b.c", ["x@y.z"]]]));
  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, ["NOTIFICATION_ADMIN_EMAILS_A_B_C counts for several notification types: a.b_c, a.b.c"]);
  assert.deepEqual(read({}, twins).warnings, []);
});
