/**
 * A real PostgreSQL, directly and through a session pooler without a reset query → which of its errors are about data,
 * and which close the connection.
 *
 * Every pool is closed, which the leak detector would notice.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { describePostgresError, postgresFailure } from "../../src/postgres/failures.ts";
import { openPool, type PostgresPool } from "../../src/postgres/pool.ts";
import { atOnce, inTransaction } from "../../src/postgres/transaction.ts";
import { freshDatabase, removeDatabase } from "../support/environment.ts";
import { PostgresFront } from "../support/postgres_front.ts";

async function withPool(work: (pool: PostgresPool, url: string) => Promise<void>, changes: { url?: string } = {}) {
  const url = changes.url ?? await freshDatabase();
  const pool = openPool({
    dsn: { reveal: () => url },
    operationTimeoutMs: 5_000,
    maxOpenConns: 4,
    applicationName: "t",
  });
  try {
    await work(pool, url);
  } finally {
    await pool.close(1_000);
    if (changes.url === undefined) await removeDatabase(url);
  }
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof Error, "it did not fail");
  return error;
}

/**
 * SQLSTATE 54000 for a value that an operator's index or the storage can't hold; random, so that it can't be
 * compressed.
 */
const TOO_LARGE = [
  { name: "a B-tree index", definition: "v text; CREATE INDEX ON large (v)", size: 4_000 },
  { name: "an index tuple", definition: "v text; CREATE INDEX ON large (v)", size: 40_000 },
  { name: "a GIN index", definition: "v text[]; CREATE INDEX ON large USING gin (v)", size: 4_000 },
  { name: "a row", definition: "v text; ALTER TABLE large ALTER v SET STORAGE PLAIN", size: 9_000 },
] as const;

for (const { name, definition, size } of TOO_LARGE) {
  Deno.test(`a value too large for ${name} is about the data`, async () => {
    await withPool(async (pool) => {
      const [column, ...more] = definition.split("; ");
      await pool.query(`CREATE TABLE large (${column})`);
      for (const sql of more) await pool.query(sql);
      const random = `(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, ${Math.ceil(size / 32)}))`;
      const value = definition.startsWith("v text[]") ? `ARRAY[${random}]` : random;
      const error = await failureOf(pool.query(`INSERT INTO large VALUES (${value})`));
      assert.match(describePostgresError(error), /\(54000\b/);
      assert.equal(postgresFailure(error), "data", `${error.message} in ${(error as pg.DatabaseError).routine}`);
    });
  });
}

Deno.test("a prepared statement whose result type has changed closes its connection, and then works", async () => {
  await withPool(async (pool) => {
    await pool.query("CREATE TABLE t (n int)");
    const select = () => pool.query({ name: "select_all", text: "SELECT * FROM t" });
    await select();
    await pool.query("ALTER TABLE t ADD m int");
    const error = await failureOf(select());
    assert.match(describePostgresError(error), /\(0A000\)$/);
    assert.equal(postgresFailure(error), "outage");
    assert.deepEqual((await select()).fields.map(({ name }) => name), ["n", "m"]);
  });
});

Deno.test("a prepared statement that was deallocated closes its connection, and then works", async () => {
  await withPool(async (pool) => {
    const one = (client: Pick<pg.ClientBase, "query">) => client.query({ name: "one", text: "SELECT 1" });
    for (
      const attempt of [
        () => one(pool),
        () => atOnce(pool, one),
        () => inTransaction(pool, one),
      ]
    ) {
      await attempt();
      await pool.query("DEALLOCATE ALL");
      const error = await failureOf(attempt());
      assert.match(describePostgresError(error), /\(26000\)$/);
      assert.equal(postgresFailure(error), "outage");
      assert.equal((await attempt()).rowCount, 1);
    }
  });
});

Deno.test("behind a session pooler that keeps its server's prepared statements each connection's work", async () => {
  await withPool(async (direct, url) => {
    await using front = await PostgresFront.open(Number(new URL(url).port));
    for (let client = 0; client < 3; client++) {
      await withPool(async (pool) => {
        for (let times = 0; times < 3; times++) {
          assert.equal((await pool.query({ name: "same", text: `SELECT ${client} AS n` })).rows[0].n, client);
        }
      }, { url: front.through(url) });
    }
    assert.equal(front.serverConnections, 1);
    const { rows } = await direct.query(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database()",
    );
    assert.equal(rows[0].n, 2);
  });
});
