/** Examples of goose files: what parseMigration() reads as goose does, and what it refuses with the line at fault. */
import assert from "node:assert/strict";
import { parseMigration } from "./goose.ts";

function parse(text: string, name = "00002_add_a_table.sql") {
  return parseMigration(name, text);
}

Deno.test("parseMigration() splits Up and Down at semicolons that end a line", () => {
  const { version, name, up, down, inTransaction } = parse(`-- Says what it is for.

-- +goose Up
-- A leading comment is dropped,
CREATE TABLE a (
    b text DEFAULT ';x', -- one within a statement is kept;
    c int
); -- and so is what follows the semicolon;
CREATE INDEX ON a (b); CREATE INDEX ON a (c);

-- +goose Down
DROP TABLE a;
`);
  assert.equal(version, 2);
  assert.equal(name, "00002_add_a_table.sql");
  assert.equal(inTransaction, true);
  assert.deepEqual(up, [
    "CREATE TABLE a (\n    b text DEFAULT ';x', -- one within a statement is kept;\n    c int\n); -- and so is what follows the semicolon;",
    "CREATE INDEX ON a (b); CREATE INDEX ON a (c);",
  ]);
  assert.deepEqual(down, ["DROP TABLE a;"]);
});

Deno.test("parseMigration() keeps a StatementBegin block whole", () => {
  const body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  -- why\n\n  RETURN 1;\nEND;\n$$;";
  const { up, down } = parse(
    `-- +goose Up\n-- +goose StatementBegin\n${body}\n-- +goose StatementEnd\nSELECT f();\n` +
      "-- +goose Down\n-- +goose StatementBegin\nDROP FUNCTION f()\n-- +goose StatementEnd\n",
  );
  assert.deepEqual(up, [body, "SELECT f();"]);
  assert.deepEqual(down, ["DROP FUNCTION f()"]);
});

Deno.test("parseMigration() reads NO TRANSACTION, Windows line ends and a file without Down", () => {
  const { up, down, inTransaction } = parse("-- +goose NO TRANSACTION\r\n-- +goose Up\r\nVACUUM;\r\n");
  assert.equal(inTransaction, false);
  assert.deepEqual(up, ["VACUUM;"]);
  assert.deepEqual(down, []);
});

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ["no Up", "-- a comment", /there is no Up/],
  ["a statement before Up", "SELECT 1;\n-- +goose Up\n", /line 1: a statement before Up/],
  ["Down first", "-- +goose Down\nSELECT 1;\n", /line 1: Down where it can't stand/],
  ["Up twice", "-- +goose Up\nSELECT 1;\n-- +goose Up\n", /line 3: Up where/],
  ["Up after Down", "-- +goose Up\n-- +goose Down\n-- +goose Up\n", /line 3: Up after Down/],
  ["Down twice", "-- +goose Up\n-- +goose Down\n-- +goose Down\n", /line 3: Down where/],
  ["a last statement without semicolon", "-- +goose Up\nSELECT 1\n", /last statement lacks its semicolon/],
  [
    "a statement without semicolon before Down",
    "-- +goose Up\nSELECT 1\n-- +goose Down\n",
    /line 3: the statement before/,
  ],
  ["a block without end", "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n", /line 2: StatementBegin without/],
  ["an end without block", "-- +goose Up\n-- +goose StatementEnd\n", /line 2: StatementEnd without/],
  [
    "a block in a block",
    "-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementBegin\n",
    /line 3: StatementBegin inside/,
  ],
  ["a block before Up", "-- +goose StatementBegin\n", /line 1: StatementBegin before Up/],
  ["ENVSUB", "-- +goose ENVSUB ON\n-- +goose Up\n", /"ENVSUB ON" is not supported/],
  ["a misspelt annotation", "-- +goose up\nSELECT 1;\n", /"up" is not supported/],
];

for (const [what, text, message] of refused) {
  Deno.test(`parseMigration() refuses ${what}`, () => {
    assert.throws(() => parse(text), message);
  });
}

Deno.test("parseMigration() refuses a name without a version", () => {
  for (const name of ["add_a_table.sql", "0_zero.sql", "1.sql", "1_.txt", "99999999999999999999_big.sql"]) {
    assert.throws(() => parse("-- +goose Up\nSELECT 1;\n", name), /its name should be a version/);
  }
});

Deno.test("every migration of the project can be read and undone", async () => {
  const folder = new URL("../../migrations/", import.meta.url);
  const versions: number[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const migration = parseMigration(name, await Deno.readTextFile(new URL(name, folder)));
    assert.ok(migration.up.length > 0 && migration.down.length > 0, name);
    versions.push(migration.version);
  }
  assert.deepEqual(versions.sort((a, b) => a - b), versions.map((_, index) => index + 1));
});
