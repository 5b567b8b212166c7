/** openPool() before any connection: the name that the server will show, and no DSN in messages. */
import assert from "node:assert/strict";
import { openPool } from "./pool.ts";
import { shownName } from "./session.ts";

Deno.test("shownName() keeps the program and the end of a long name, and replaces the characters that PostgreSQL replaces", () => {
  const id = crypto.randomUUID();
  assert.equal(shownName(`notification-service/${id}`), `notification-service/${id}`);
  const long = shownName(`notification-service/${"north-".repeat(20)}${id}`);
  assert.equal(long.length, 63);
  assert.ok(long.startsWith("notification-service/") && long.endsWith(`h-${id}`));
  assert.equal(shownName("n".repeat(64) + "end"), "n".repeat(60) + "end");
  assert.equal(shownName("Köln/🚀/a\tb\n"), "K?ln/?/a?b?");
});

Deno.test("openPool() does not show its DSN", async () => {
  const pool = openPool({
    dsn: { reveal: () => "postgres://user:hunter2@localhost/db" },
    operationTimeoutMs: 1_000,
    maxOpenConns: 4,
    applicationName: "test",
  });
  assert.ok(!Deno.inspect(pool, { depth: 10 }).includes("hunter2"));
  assert.ok(!JSON.stringify(pool.options).includes("hunter2"));
  await pool.close(0);
});
