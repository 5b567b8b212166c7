/** Which errors of a pass are an outage: every answer of a server; everything else is a defect. */
import assert from "node:assert/strict";
import pg from "pg";
import { PostgresConnectionError } from "../postgres/failures.ts";
import { RedisError } from "../redis/failures.ts";
import { OutageError, outageOf } from "./outage.ts";

function postgresError(code: string): Error {
  const error = new pg.DatabaseError("a message of the server", 0, "error");
  error.code = code;
  return error;
}

Deno.test("outageOf() recognises a dependency by its error", () => {
  const examples: [error: unknown, dependency: string][] = [
    [new RedisError("Connection is closed.", { code: "" }), "redis"],
    [new RedisError("OOM command not allowed", { code: "OOM" }), "redis"],
    [new RedisError("NOAUTH Authentication required.", { code: "NOAUTH" }), "redis"],
    [new RedisError("WRONGTYPE Operation against a key", { code: "WRONGTYPE" }), "redis"],
    [new RedisError("ERR Error running script: Script killed by user with SCRIPT KILL.", { code: "ERR" }), "redis"],
    [postgresError("57P01"), "postgres"],
    [postgresError("42601"), "postgres"],
    [postgresError("23503"), "postgres"],
    [postgresError("XX000"), "postgres"],
    [new PostgresConnectionError(new Error("Query read timeout")), "postgres"],
  ];
  for (const [error, dependency] of examples) {
    const outage = outageOf(error);
    assert.ok(outage instanceof OutageError, String(error));
    assert.equal(outage.dependency, dependency);
    assert.equal(outage.cause, error);
    assert.ok(outage.message !== "");
    assert.deepEqual([outage.retryAfterMs, outage.progressed], [undefined, false]);
  }
});

Deno.test("outageOf() returns the outage that a stage has thrown", () => {
  const outage = new OutageError("user_service", "it answered with status 503", {
    retryAfterMs: 5_000,
    progressed: true,
  });
  assert.equal(outageOf(outage), outage);
  assert.deepEqual([outage.retryAfterMs, outage.progressed], [5_000, true]);
});

Deno.test("outageOf() returns undefined for everything else", () => {
  const defects: unknown[] = [
    new TypeError("x is not a function"),
    new RangeError("Invalid array length"),
    new assert.AssertionError({ message: "1 == 2" }),
    new Error("The transaction was rolled back: one of its statements had failed"),
    "text",
    undefined,
    null,
  ];
  for (const error of defects) assert.equal(outageOf(error), undefined, String(error));
});
