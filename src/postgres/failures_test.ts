// Every row of the table, errors without a SQLSTATE, and descriptions that tell no secret.

import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { describePostgresError, type PostgresFailure, postgresFailure, SQL_STATES } from "./failures.ts";

function databaseError(code: string, fields: Partial<pg.DatabaseError> = {}): Error {
  return Object.assign(new pg.DatabaseError("the server said no", 0, "error"), { code, ...fields });
}

function socketError(code: string, message = `connect ${code} 127.0.0.1:5432`): Error {
  return Object.assign(new Error(message), { code });
}

const bySqlState: Record<PostgresFailure, readonly string[]> = {
  away: [
    ...["08000", "08001", "08003", "08006", "08P01", "25006", "25P03", "28000", "28P01", "3D000", "40001", "40P01"],
    ...["53100", "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58030"],
  ],
  data: ["22001", "22003", "22021", "22P02", "22P05", "23502", "23505", "23514", "54000", "54001"],
  unexpected: ["0A000", "21000", "25P01", "25P02", "26000", "42501", "42601", "42P01", "55006", "XX000", "XX001", ""],
};

for (const [failure, sqlStates] of Object.entries(bySqlState)) {
  Deno.test(`postgresFailure() counts SQLSTATE ${sqlStates.join(" ")} as ${failure}`, () => {
    for (const sqlState of sqlStates) assert.equal(postgresFailure(databaseError(sqlState)), failure, sqlState);
  });
}

Deno.test("every row of the table has a reason and stands once", () => {
  assert.equal(new Set(SQL_STATES.map(({ sqlState }) => sqlState)).size, SQL_STATES.length);
  for (const { sqlState, reason } of SQL_STATES) {
    assert.match(sqlState, /^[0-9A-Z]{2,5}$/);
    assert.ok(reason.length > 10);
  }
});

Deno.test("postgresFailure() knows connection errors, which carry no SQLSTATE", () => {
  const messages = [
    "Query read timeout",
    "timeout exceeded when trying to connect",
    "timeout expired",
    "Connection terminated",
    "Connection terminated unexpectedly",
    "Connection terminated due to connection timeout",
    "Client has encountered a connection error and is not queryable",
    "Client was closed and is not queryable",
  ];
  for (const message of messages) assert.equal(postgresFailure(new Error(message)), "away", message);
  for (const code of ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH"]) {
    assert.equal(postgresFailure(socketError(code)), "away", code);
  }
  const addresses = new AggregateError([socketError("ECONNREFUSED", "[::1]"), socketError("ECONNREFUSED")], "");
  assert.equal(postgresFailure(addresses), "away");
});

Deno.test("postgresFailure() looks through to the cause", () => {
  const wrapped = (cause: unknown) => new Error("Migration failed", { cause });
  assert.equal(postgresFailure(wrapped(databaseError("57P01"))), "away");
  assert.equal(postgresFailure(wrapped(wrapped(socketError("EPIPE")))), "away");
  assert.equal(postgresFailure(wrapped(databaseError("22P02"))), "data");
  assert.equal(postgresFailure(wrapped("nothing")), "unexpected");
});

Deno.test("postgresFailure() finds everything else unexpected", () => {
  for (
    const error of [new TypeError("x is undefined"), new Error("57P01"), "57014", undefined, null, { code: "57P01" }]
  ) {
    assert.equal(postgresFailure(error), "unexpected");
  }
});

Deno.test("describePostgresError() gives one line with the code", () => {
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
    "postgres://u:hunter2@h",
  ];
  for (const error of errors) {
    const text = describePostgresError(error);
    assert.ok(!text.includes("hunter2"), text);
    assert.match(text, /\[redacted\]/);
  }
});
