/** Every row of the table, errors without a SQLSTATE, and descriptions without secrets. */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import {
  describePostgresError,
  leavesConnectionUsable,
  PostgresConnectionError,
  type PostgresFailure,
  postgresFailure,
  ranPastItsTime,
  SQL_STATES,
} from "./failures.ts";

function databaseError(code: string, fields: Partial<pg.DatabaseError> = {}): Error {
  return Object.assign(new pg.DatabaseError("the server said no", 0, "error"), { code, ...fields });
}

function socketError(code: string, message = `connect ${code} 127.0.0.1:5432`): Error {
  return Object.assign(new Error(message), { code });
}

/** Every class of PostgreSQL's errcodes.txt except 00 to 03, which are no errors. */
const CLASSES: Readonly<Record<PostgresFailure, readonly string[]>> = {
  data: ["22", "23"],
  outage: [
    ...["08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21", "24", "25", "26", "27", "28", "2B", "2D", "2F"],
    ...[
      "34",
      "38",
      "39",
      "3B",
      "3D",
      "3F",
      "40",
      "42",
      "44",
      "53",
      "54",
      "55",
      "57",
      "58",
      "72",
      "F0",
      "HV",
      "P0",
      "XX",
    ],
  ],
};

for (const [failure, classes] of Object.entries(CLASSES)) {
  Deno.test(`postgresFailure() counts the SQLSTATE classes ${classes.join(" ")} as ${failure}`, () => {
    for (const sqlState of classes.flatMap((prefix) => [`${prefix}000`, `${prefix}001`, `${prefix}P01`])) {
      assert.equal(postgresFailure(databaseError(sqlState)), failure, sqlState);
    }
  });
}

Deno.test("postgresFailure() distinguishes a value that is too large from other limits by the routine that reports it", () => {
  const examples: [code: string, routine: string | undefined, failure: PostgresFailure][] = [
    ["54000", "_bt_check_third_page", "data"],
    ["54000", "index_form_tuple_context", "data"],
    ["54000", "RelationGetBufferForTuple", "data"],
    ["54000", "checkStringLen", "data"],
    ["54000", "GetNewTransactionId", "outage"],
    ["54000", "GetNewMultiXactId", "outage"],
    ["54000", "CommandCounterIncrement", "outage"],
    ["54000", undefined, "outage"],
    ["54001", "check_stack_depth", "outage"],
    ["54011", "heap_form_tuple", "outage"],
    ["54023", "ParseFuncOrColumn", "outage"],
  ];
  for (const [code, routine, failure] of examples) {
    // The message may be in any language.
    const message = "база данных не принимает команды";
    assert.equal(postgresFailure(databaseError(code, { routine, message })), failure, `${code} ${routine}`);
  }
});

Deno.test("every row of the table has a reason and an effect, and no row is repeated", () => {
  assert.equal(new Set(SQL_STATES.map(({ sqlState }) => sqlState)).size, SQL_STATES.length);
  for (const { sqlState, reason, isData, isConnectionReplaced } of SQL_STATES) {
    assert.match(sqlState, /^[0-9A-Z]{2,5}$/);
    assert.ok(reason.length > 10);
    assert.ok(isData || isConnectionReplaced, sqlState);
  }
});

Deno.test("postgresFailure() counts a connection error as an outage, whatever caused it", () => {
  const causes: unknown[] = [
    new Error("Connection terminated unexpectedly"),
    new Error("invalid peer certificate: UnknownIssuer"),
    new TypeError("Cannot read properties of null (reading 'readStop')"),
    new AggregateError([socketError("ECONNREFUSED", "[::1]"), socketError("EPERM")], ""),
    socketError("UNKNOWN"),
    // If the server refuses a setting of the role while connecting, that is not about the data of the waiting
    // statement.
    databaseError("22023"),
    databaseError("28P01"),
    "closed",
    undefined,
  ];
  for (const cause of causes) {
    assert.equal(postgresFailure(new PostgresConnectionError(cause)), "outage", String(cause));
  }
  assert.equal(new PostgresConnectionError(databaseError("28P01")).code, "28P01");
  assert.equal(new PostgresConnectionError(socketError("EPIPE")).code, "EPIPE");
  assert.equal(new PostgresConnectionError("closed").code, "");
});

Deno.test("postgresFailure() uses the cause of an error of ours", () => {
  const wrapped = (cause: unknown) => new Error("Migration failed", { cause });
  assert.equal(postgresFailure(wrapped(databaseError("57P01"))), "outage");
  assert.equal(postgresFailure(wrapped(wrapped(new PostgresConnectionError(socketError("EPIPE"))))), "outage");
  assert.equal(postgresFailure(wrapped(databaseError("22P02"))), "data");
  assert.equal(postgresFailure(wrapped("nothing")), undefined);
});

Deno.test("postgresFailure() returns undefined for every other error", () => {
  for (
    const error of [
      new TypeError("x is undefined"),
      new Error("57P01"),
      socketError("ECONNREFUSED"),
      "57014",
      undefined,
      null,
      { code: "57P01" },
    ]
  ) {
    assert.equal(postgresFailure(error), undefined);
  }
});

Deno.test("leavesConnectionUsable() is false after the end of a session and when a prepared statement is not as expected", () => {
  for (const code of ["08P01", "0A000", "25006", "25P03", "25P04", "26000", "42P05", "57P01", "57P05", "XX000"]) {
    assert.ok(!leavesConnectionUsable(databaseError(code)), code);
  }
  for (const code of ["22P02", "23505", "40P01", "42501", "42P01", "55P03", "57014", "25P02"]) {
    assert.ok(leavesConnectionUsable(databaseError(code)), code);
  }
  assert.ok(!leavesConnectionUsable(new PostgresConnectionError(new Error("Query read timeout"))));
  assert.ok(!leavesConnectionUsable(new TypeError("x is undefined")));
});

Deno.test("ranPastItsTime() recognises the server's time-out and that of this side", () => {
  assert.ok(ranPastItsTime(databaseError("57014")));
  assert.ok(ranPastItsTime(new PostgresConnectionError(new Error("Query read timeout"))));
  assert.ok(!ranPastItsTime(new PostgresConnectionError(new Error("timeout exceeded when trying to connect"))));
  assert.ok(!ranPastItsTime(databaseError("55P03")));
});

Deno.test("describePostgresError() returns one line with the code", () => {
  const duplicate = databaseError("23505", {
    table: "records",
    constraint: "records_pkey",
    detail: "Key (idempotency_key)=(secret) already exists.",
  });
  assert.equal(describePostgresError(duplicate), "the server said no (23505, table records, constraint records_pkey)");
  assert.equal(describePostgresError(socketError("ECONNREFUSED")), "connect ECONNREFUSED 127.0.0.1:5432");
  assert.equal(describePostgresError(socketError("EPIPE", "broken\n  pipe")), "broken pipe (EPIPE)");
  assert.equal(
    describePostgresError(new AggregateError([socketError("ECONNREFUSED", "a"), socketError("ETIMEDOUT", "b")])),
    "a (ECONNREFUSED); b (ETIMEDOUT)",
  );
  assert.equal(describePostgresError(new TypeError("")), "TypeError");
  assert.equal(describePostgresError(undefined), "undefined");
  assert.ok(describePostgresError(new Error("x".repeat(10_000))).length <= 500);
});

Deno.test("describePostgresError() leaves a DSN and a password out", () => {
  const errors = [
    new TypeError("Invalid URL: 'postgres://user:hunter2 and\nhunter2@host/db?sslmode=x'"),
    new Error("cannot parse PostgreSQL://user:hunter2@host"),
    new Error("host=h user=u password = hunter2 dbname=d"),
    new AggregateError([new Error("postgresql://u:hunter2@h")]),
    new PostgresConnectionError(new Error("postgresql://u:hunter2@h")),
    "postgres://u:hunter2@h",
  ];
  for (const error of errors) {
    const text = describePostgresError(error);
    assert.ok(!text.includes("hunter2"), text);
    assert.match(text, /\[redacted\]/);
  }
});
