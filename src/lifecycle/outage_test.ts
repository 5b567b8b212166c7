// Which errors of a pass are a dependency's outage: whatever a server answers; everything else is a defect.

import assert from "node:assert/strict";
import pg from "pg";
import { PostgresConnectionError } from "../postgres/failures.ts";
import { RedisError } from "../redis/failures.ts";
import { OutageError, outageOf } from "./outage.ts";

function postgresError(code: string): Error {
  const error = new pg.DatabaseError("the server's words", 0, "error");
  error.code = code;
  return error;
}

Deno.test("outageOf() knows a dependency by its error", () => {
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

Deno.test("outageOf() passes an outage on that a stage has put into words", () => {
  const outage = new OutageError("user_service", "it answered with status 503", {
    retryAfterMs: 5_000,
    progressed: true,
  });
  assert.equal(outageOf(outage), outage);
  assert.deepEqual([outage.retryAfterMs, outage.progressed], [5_000, true]);
});

Deno.test("outageOf() takes nothing else for one", () => {
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
