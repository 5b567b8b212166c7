/**
 * A database of its own for each test → what inTransaction() commits, rolls back, keeps and destroys when statements
 * fail, the server cuts the connection, time runs out or the signal aborts.
 *
 * Every pool is closed, which the leak detector would notice.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { postgresFailure } from "../../src/postgres/failures.ts";
import { openPool, type PostgresPool } from "../../src/postgres/pool.ts";
import { inTransaction, withClient } from "../../src/postgres/transaction.ts";
import { freshDatabase, removeDatabase } from "../support/environment.ts";
import { eventually } from "../support/wait.ts";

interface Rig {
  readonly pool: PostgresPool;
  /** The numbers in the table, read over another connection. */
  numbers(): Promise<number[]>;
  /** Runs any statement over that connection. */
  run(sql: string, values?: unknown[]): Promise<pg.QueryResult<Record<string, unknown>>>;
}

function test(name: string, work: (rig: Rig) => Promise<void>, { operationTimeoutMs = 5_000, maxOpenConns = 4 } = {}) {
  Deno.test(name, async () => {
    const url = await freshDatabase();
    const observer = new pg.Client({ connectionString: url });
    await observer.connect();
    await observer.query("CREATE TABLE numbers (n int PRIMARY KEY)");
    const pool = openPool({ dsn: { reveal: () => url }, operationTimeoutMs, maxOpenConns, applicationName: "test" });
    try {
      await work({
        pool,
        run: (sql, values) => observer.query(sql, values),
        numbers: async () => {
          const { rows } = await observer.query<{ n: number }>("SELECT n FROM numbers ORDER BY n");
          return rows.map(({ n }) => n);
        },
      });
    } finally {
      await pool.close(1_000);
      await observer.end();
      await removeDatabase(url);
    }
  });
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof Error, "it did not fail");
  return error;
}

function insert(client: Pick<pg.ClientBase, "query">, n: number) {
  return client.query({ name: "insert_number", text: "INSERT INTO numbers VALUES ($1)", values: [n] });
}

async function backend(client: Pick<pg.ClientBase, "query">): Promise<number> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]!.pid;
}

async function untilGone(run: Rig["run"], pid: number): Promise<void> {
  await eventually(async () => (await run("SELECT FROM pg_stat_activity WHERE pid = $1", [pid])).rowCount === 0);
}

test("it commits, returns the work's result, and releases the connection", async ({ pool, numbers }) => {
  const pids = [];
  for (const n of [1, 2]) {
    pids.push(
      await inTransaction(pool, async (client) => {
        await insert(client, n);
        return await backend(client);
      }),
    );
  }
  assert.deepEqual(await numbers(), [1, 2]);
  assert.equal(pids[0], pids[1]);
  assert.equal(pool.idleCount, 1);
});

test("it rolls back and rejects with the work's own error", async ({ pool, numbers }) => {
  const own = new Error("of the work");
  const pid = await backend(pool);
  const error = await failureOf(inTransaction(pool, async (client) => {
    await insert(client, 1);
    throw own;
  }));
  assert.equal(error, own);
  assert.deepEqual(await numbers(), []);
  assert.equal(await backend(pool), pid);
});

test("statements sent without waiting share the transaction; one that fails fails all", async ({ pool, numbers }) => {
  await inTransaction(pool, (client) => Promise.all([insert(client, 1), insert(client, 2), insert(client, 3)]));
  assert.deepEqual(await numbers(), [1, 2, 3]);
  const pid = await backend(pool);
  const error = await failureOf(
    inTransaction(pool, (client) => Promise.all([insert(client, 4), insert(client, 4), insert(client, 5)])),
  );
  assert.equal(postgresFailure(error), "data");
  assert.match(error.message, /duplicate key/);
  assert.deepEqual(await numbers(), [1, 2, 3]);
  assert.equal(await backend(pool), pid);
  await inTransaction(pool, (client) => insert(client, 6));
  assert.deepEqual(await numbers(), [1, 2, 3, 6]);
});

test("it does not resolve when the work has swallowed a failed statement", async ({ pool, numbers }) => {
  const error = await failureOf(inTransaction(pool, async (client) => {
    await insert(client, 1);
    await client.query("SELECT 1 / 0").catch(() => {});
  }));
  assert.match(error.message, /rolled back: one of its statements had failed/);
  assert.deepEqual(await numbers(), []);
});

test("it rejects when COMMIT itself fails, and the connection stays usable", async ({ pool, numbers, run }) => {
  await run("CREATE TABLE children (n int REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)");
  const pid = await backend(pool);
  const error = await failureOf(inTransaction(pool, async (client) => {
    await insert(client, 1);
    await client.query("INSERT INTO children VALUES (2)");
  }));
  assert.equal(postgresFailure(error), "data");
  assert.deepEqual(await numbers(), []);
  assert.equal(await backend(pool), pid);
});

test("nothing is committed if pg can't send one of the statements", async ({ pool, numbers }) => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  await failureOf(inTransaction(pool, async (client) => {
    await Promise.all([insert(client, 1), client.query("INSERT INTO numbers VALUES ($1)", [circle])]);
  }));
  assert.deepEqual(await numbers(), []);
  await inTransaction(pool, (client) => insert(client, 2));
});

test("cancelled statements, BEGIN and COMMIT included, leave all of a transaction or nothing", async ({ pool, numbers, run }) => {
  const begun = performance.now();
  let committed = 0;
  let failed = 0;
  // Until both results were seen.
  const goesOn = () => performance.now() - begun < (committed > 0 && failed > 0 ? 1_500 : 60_000);
  const cancelling = (async () => {
    while (goesOn()) {
      await run(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'test' AND state <> 'idle'",
      );
    }
  })();
  for (let n = 0; goesOn(); n += 2) {
    try {
      await inTransaction(pool, (client) => {
        assert.equal(client.getTransactionStatus(), "T");
        return Promise.all([insert(client, n), insert(client, n + 1)]);
      });
      committed++;
    } catch (error) {
      assert.equal(postgresFailure(error), "outage");
      failed++;
    }
  }
  await cancelling;
  assert.ok(failed > 0 && committed > 0, `${committed} committed, ${failed} failed`);
  const found = await numbers();
  assert.equal(found.length, 2 * committed);
  assert.ok(found.every((n) => found.includes(n % 2 === 0 ? n + 1 : n - 1)));
});

test("a connection that the server ends in the middle is replaced", async ({ pool, numbers, run }) => {
  const pids: number[] = [];
  const statement = failureOf(inTransaction(pool, async (client) => {
    pids.push(await backend(client));
    await insert(client, 1);
    await client.query("SELECT pg_sleep(30)");
  }));
  const asleep = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
  await eventually(async () => (await run(asleep)).rowCount === 1);
  await run("SELECT pg_terminate_backend($1)", [pids[0]]);
  assert.equal(postgresFailure(await statement), "outage");

  const between = failureOf(inTransaction(pool, async (client) => {
    await insert(client, 2);
    const pid = await backend(client);
    await run("SELECT pg_terminate_backend($1)", [pid]);
    await untilGone(run, pid);
    await insert(client, 3);
  }));
  assert.equal(postgresFailure(await between), "outage");
  await inTransaction(pool, (client) => insert(client, 4));
  assert.deepEqual(await numbers(), [4]);
  assert.equal(pool.totalCount, 1);
});

test("it rejects when the connection is lost while committing", async ({ pool, numbers, run }) => {
  await run(
    `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'`,
  );
  await run(`CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON numbers DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow()`);
  const pending = failureOf(inTransaction(pool, (client) => insert(client, 1)));
  const committing = "SELECT pid FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'";
  const { pid } = await eventually(async () => (await run(committing)).rows[0]);
  await run("SELECT pg_terminate_backend($1)", [pid]);
  assert.equal(postgresFailure(await pending), "outage");
  assert.deepEqual(await numbers(), []);
  assert.equal(pool.totalCount, 0);
});

test("an answer that is overdue rejects in time and destroys the connection", async ({ pool, numbers }) => {
  const startedAt = performance.now();
  const error = await failureOf(inTransaction(pool, async (client) => {
    await insert(client, 1);
    await client.query("SET LOCAL statement_timeout = 0");
    await client.query("SELECT pg_sleep(30)");
  }));
  assert.equal(postgresFailure(error), "outage");
  assert.ok(performance.now() - startedAt < 15_000);
  assert.equal(pool.totalCount, 0);
  assert.deepEqual(await numbers(), []);
}, { operationTimeoutMs: 1_500 });

test("the connection to a server that accepts no writes is closed, because a new one may find the primary", async ({ pool }) => {
  const pid = await backend(pool);
  const error = await failureOf(inTransaction(pool, async (client) => {
    await client.query("SET TRANSACTION READ ONLY");
    await insert(client, 1);
  }));
  assert.equal(postgresFailure(error), "outage");
  assert.notEqual(await backend(pool), pid);
});

test("a process that is paused within a transaction loses it after idle_in_transaction_session_timeout", async ({ pool, numbers, run }) => {
  const error = await failureOf(inTransaction(pool, async (client) => {
    assert.deepEqual((await client.query("SHOW idle_in_transaction_session_timeout")).rows, [
      { idle_in_transaction_session_timeout: "10s" },
    ]);
    await client.query("SET idle_in_transaction_session_timeout = 100");
    const pid = await backend(client);
    await insert(client, 1);
    await untilGone(run, pid);
    await insert(client, 2);
  }));
  assert.equal(postgresFailure(error), "outage");
  assert.deepEqual(await numbers(), []);
});

test("an abort ends a statement that waits", async ({ pool, run }) => {
  await run("BEGIN");
  await run("LOCK TABLE numbers");
  const cut = new AbortController();
  const reason = new Error("cut");
  const pending = failureOf(withClient(pool, { signal: cut.signal }, (client) => insert(client, 1)));
  await eventually(async () => (await run("SELECT FROM pg_locks WHERE NOT granted")).rowCount === 1);
  const cutAt = performance.now();
  cut.abort(reason);
  assert.equal(await pending, reason);
  assert.ok(performance.now() - cutAt < 3_000); // the server's lock_timeout comes after four seconds
  assert.equal(pool.totalCount, 0);
  await run("ROLLBACK");
});

test("an abort ends the work between its statements", async ({ pool, numbers }) => {
  const cut = new AbortController();
  const reason = new Error("cut");
  const error = await failureOf(withClient(pool, { signal: cut.signal }, async (client) => {
    await client.query("BEGIN");
    await insert(client, 1);
    cut.abort(reason);
    await client.query("COMMIT");
  }));
  assert.equal(error, reason);
  assert.deepEqual(await numbers(), []);
  assert.equal(pool.totalCount, 0);
});

test("an abort ends the wait for a connection, which returns to the pool when it comes", async ({ pool, numbers }) => {
  const busy = await pool.connect();
  const cut = new AbortController();
  const pending = failureOf(withClient(pool, { signal: cut.signal }, (client) => insert(client, 1)));
  cut.abort(new Error("cut"));
  assert.equal((await pending).message, "cut");
  busy.release();
  await eventually(() => pool.idleCount === 1 && pool.waitingCount === 0);
  assert.equal((await failureOf(withClient(pool, { signal: cut.signal }, () => Promise.resolve()))).message, "cut");
  await withClient(pool, { signal: new AbortController().signal }, (client) => insert(client, 2));
  assert.deepEqual(await numbers(), [2]);
}, { maxOpenConns: 1 });

test("the work's own error is kept after an abort", async ({ pool }) => {
  const cut = new AbortController();
  const own = new Error("of the work");
  const error = await failureOf(withClient(pool, { signal: cut.signal }, () => {
    cut.abort(new Error("cut"));
    throw own;
  }));
  assert.equal(error, own);
});
