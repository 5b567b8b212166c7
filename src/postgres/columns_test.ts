/** Rows as a few texts: every value is returned unchanged, under its name. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { bigint, packed, returnedNumber, returnedText, rows, SEPARATOR, text } from "./columns.ts";
import { statement } from "./statement.ts";

interface Row {
  readonly name: string;
  readonly size: number;
}

const ROWS = rows<Row>()({ name: text(({ name }) => name), size: bigint(({ size }) => size) });
const FOUND = packed({ name: returnedText("found.name"), size: returnedNumber("size * 2") });

Deno.test("a statement names its parameters, splits rows by column, and joins what it returns", () => {
  const FIND = statement(
    { name: "find", takes: { stream: "text", wanted: ROWS, limit: "integer" } },
    (p) => `SELECT ${FOUND.list} FROM ${p.wanted()} WHERE stream = ${p.stream} LIMIT ${p.limit} -- ${p.wanted("size")}`,
  );
  const query = FIND({ limit: 5, stream: "s", wanted: [{ name: "a", size: 1 }, { name: "", size: 2 }] });
  assert.deepEqual(query.values, [SEPARATOR, "s", `a${SEPARATOR}`, `1${SEPARATOR}2`, 5]);
  assert.equal(query.name, "find");
  assert.equal(
    query.text?.replace(/\s+/g, " "),
    `SELECT count(*)::int AS row_count, string_agg(coalesce((found.name)::text, ''), $1) AS "name", ` +
      `string_agg(coalesce((size * 2)::text, ''), $1) AS "size" FROM unnest( string_to_array($3, $1, ''), ` +
      `string_to_array($4, $1, '')::bigint[] ) AS wanted (name, size) WHERE stream = $2::text LIMIT $5::integer ` +
      `-- unnest( string_to_array($4, $1, '')::bigint[] ) AS wanted (size)`,
  );
});

Deno.test("a statement without rows takes no separator", () => {
  const ONE = statement({ name: "one", takes: { stream: "text" } }, (p) => `SELECT ${p.stream}`);
  assert.deepEqual(ONE({ stream: "s" }), { name: "one", text: "SELECT $1::text", values: ["s"] });
});

Deno.test("packed rows keep every value", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("\x1f", "a", "'", '"', "\\", "{", "}", ",", "NULL") }),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ name: value, size: fc.integer() }, { noNullPrototype: true })), (items) => {
      const [name, size] = ROWS.parametersOf(items);
      assert.deepEqual(FOUND.unpack({ row_count: items.length, name: name!, size: size! }), items);
    }),
  );
  assert.deepEqual(FOUND.unpack({ row_count: 0, name: null, size: null }), []);
});

Deno.test("the separator can't be guessed", () => {
  assert.match(SEPARATOR.slice(1, -1), /^[0-9a-z]{8,13}$/);
  assert.deepEqual([SEPARATOR.at(0), SEPARATOR.at(-1)], ["\x1f", "\x1f"]);
});
