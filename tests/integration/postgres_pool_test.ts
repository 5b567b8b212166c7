/**
 * The shared PostgreSQL, and addresses that refuse or do not answer → how the pool handles time-outs, losses and
 * secrets.
 *
 * Every pool is closed, which the leak detector would notice.
 */
import assert from "node:assert/strict";
import net from "node:net";
import { inspect } from "node:util";
import { describePostgresError, postgresFailure } from "../../src/postgres/failures.ts";
import { checkServer, openPool, type PoolOptions, type PostgresPool } from "../../src/postgres/pool.ts";
import { shownName } from "../../src/postgres/session.ts";
import { freshDatabase, testPostgres } from "../support/environment.ts";
import { eventually } from "../support/wait.ts";

async function withPool(options: Partial<PoolOptions> & { url?: string }, work: (pool: PostgresPool) => Promise<void>) {
  const url = options.url ?? testPostgres();
  const pool = openPool({
    dsn: { reveal: () => url },
    operationTimeoutMs: 2_000,
    maxOpenConns: 4,
    applicationName: "notification-service/test",
    ...options,
  });
  try {
    await work(pool);
  } finally {
    await pool.close(2_000);
  }
}

function withParameters(url: string, parameters: Record<string, string>): string {
  const changed = new URL(url);
  for (const [name, value] of Object.entries(parameters)) changed.searchParams.set(name, value);
  return changed.href;
}

/** Accepts connections and never answers. */
async function withSilentServer(work: (url: string) => Promise<void>) {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  try {
    await work(`postgres://user:hunter2@127.0.0.1:${port}/db`);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof Error, "it did not fail");
  return error;
}

async function backend(pool: PostgresPool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]!.pid;
}

Deno.test("every session has the service's settings, whatever the DSN says", async () => {
  const applicationName = `notification-service/${"x".repeat(60)}-the-instance-id`;
  const url = withParameters(testPostgres(), { application_name: "another", lock_timeout: "77" });
  await withPool({ url, operationTimeoutMs: 3_000, applicationName }, async (pool) => {
    const { rows } = await pool.query<{ name: string; value: string }>(
      `SELECT name, current_setting(name) AS value FROM unnest(ARRAY['statement_timeout', 'lock_timeout',
         'idle_in_transaction_session_timeout', 'tcp_user_timeout', 'TimeZone', 'default_transaction_isolation',
         'application_name']) AS name`,
    );
    assert.deepEqual(Object.fromEntries(rows.map(({ name, value }) => [name, value])), {
      statement_timeout: "3s",
      lock_timeout: "2400ms",
      idle_in_transaction_session_timeout: "10s",
      tcp_user_timeout: "10000",
      TimeZone: "UTC",
      default_transaction_isolation: "read committed",
      application_name: shownName(applicationName),
    });
  });
  assert.equal(shownName(applicationName).length, 63);
  assert.ok(shownName(applicationName).endsWith("-the-instance-id"));
});

Deno.test("the server ends a statement that takes too long, and its connection stays", async () => {
  // This side's time-out follows at most half a second later.
  await withPool({ operationTimeoutMs: 5_000 }, async (pool) => {
    const client = await pool.connect();
    const error = await failureOf(client.query("SELECT pg_sleep(30)"));
    assert.match(describePostgresError(error), /statement timeout \(57014\)$/);
    assert.equal(postgresFailure(error), "outage");
    assert.equal((await client.query("SELECT 1")).rowCount, 1);
    client.release();
    assert.equal(pool.totalCount, 1);
  });
});

Deno.test("if the server's time-out does not come, this side's does, and destroys the connection", async () => {
  await withPool({ operationTimeoutMs: 2_000 }, async (pool) => {
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await client.query("SET statement_timeout = 0");
    const startedAt = performance.now();
    const pending = [client.query("SELECT pg_sleep(30)"), client.query("SELECT 1")].map(failureOf);
    for (const error of await Promise.all(pending)) assert.equal(postgresFailure(error), "outage", error.message);
    assert.ok(performance.now() - startedAt < 10_000);
    client.release();
    await eventually(() => pool.totalCount === 0);
    await pool.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
  });
});

Deno.test("waiting for a lock is distinguished from being slow", async () => {
  await withPool({ url: await freshDatabase(), operationTimeoutMs: 5_000 }, async (pool) => {
    await pool.query("CREATE TABLE t (id int)");
    const holder = await pool.connect();
    await holder.query("BEGIN");
    await holder.query("LOCK TABLE t");
    const error = await failureOf(pool.query("INSERT INTO t VALUES (1)"));
    assert.match(describePostgresError(error), /lock timeout \(55P03\)$/);
    holder.release(true);
  });
});

Deno.test("an exhausted pool, a closed port, an unknown host and a silent server are bounded and count as outages", async () => {
  await withPool({ operationTimeoutMs: 2_000, maxOpenConns: 1 }, async (pool) => {
    const client = await pool.connect();
    assert.equal(postgresFailure(await failureOf(pool.query("SELECT 1"))), "outage");
    client.release();
  });
  const closed = await withClosedPort();
  const refused = /ECONNREFUSED/;
  const unknown = /ENOTFOUND|EAI_AGAIN|timeout/; // a name server may answer late
  for (
    const [host, expected] of [
      [`127.0.0.1:${closed}`, refused],
      [`localhost:${closed}`, refused],
      ["no-such-host.invalid:5432", unknown],
    ] as const
  ) {
    await withPool({ url: `postgres://user:hunter2@${host}/db` }, async (pool) => {
      const error = await failureOf(pool.query("SELECT 1"));
      const text = describePostgresError(error);
      assert.equal(postgresFailure(error), "outage", inspect(error));
      assert.match(text, expected);
      assert.doesNotMatch(text + inspect(error), /hunter2/);
    });
  }
  await withSilentServer((url) =>
    withPool({ url, operationTimeoutMs: 300 }, async (pool) => {
      const startedAt = performance.now();
      const error = await failureOf(pool.query("SELECT 1"));
      assert.equal(postgresFailure(error), "outage", inspect(error));
      assert.ok(performance.now() - startedAt < 10_000);
    })
  );
});

async function withClosedPort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

Deno.test("a refused password and an unusable DSN are not in the message", async () => {
  const url = new URL(testPostgres());
  url.password = "hunter2";
  await withPool({ url: url.href }, async (pool) => {
    const error = await failureOf(pool.query("SELECT 1"));
    assert.match(describePostgresError(error), /password authentication failed.*\(28P01\)/);
    assert.doesNotMatch(describePostgresError(error) + inspect(error) + inspect(pool, { depth: 5 }), /hunter2/);
    const checked = await failureOf(checkServer(pool));
    assert.match(checked.message, /^PostgreSQL does not answer: password authentication failed/);
  });
  for (
    const unusable of [
      "postgres://user:hunter2@host:port/db",
      "postgres://user:hunter2@h/db?sslnegotiation=hunter2",
      "postgres://user:hunter2@h/db?sslrootcert=/no/hunter2",
    ]
  ) {
    assert.throws(
      () => openPool({ dsn: { reveal: () => unusable }, operationTimeoutMs: 1, maxOpenConns: 4, applicationName: "" }),
      (error) => error instanceof Error && /DSN can't be used/.test(error.message) && !/hunter2/.test(inspect(error)),
    );
  }
});

Deno.test("an idle connection that breaks is replaced, and nothing is logged", async () => {
  await withPool({}, async (pool) => {
    const first = await backend(pool);
    await withPool({}, async (other) => {
      await other.query("SELECT pg_terminate_backend($1)", [first]);
    });
    await eventually(() => pool.totalCount === 0);
    assert.notEqual(await backend(pool), first);
  });
});

Deno.test("close() ends idle connections at once and hanging ones at its bound", async () => {
  const idle = openPool({
    dsn: { reveal: () => testPostgres() },
    operationTimeoutMs: 20_000,
    maxOpenConns: 4,
    applicationName: "t",
  });
  await idle.query("SELECT 1");
  const startedAt = performance.now();
  await idle.close(20_000);
  await idle.close(20_000);
  assert.ok(performance.now() - startedAt < 10_000);

  await withPool({ operationTimeoutMs: 20_000 }, async (pool) => {
    const client = await pool.connect();
    const hanging = failureOf(client.query("SELECT pg_sleep(15)"));
    const closedAt = performance.now();
    await pool.close(200);
    assert.equal(postgresFailure(await hanging), "outage");
    assert.ok(performance.now() - closedAt < 10_000);
    client.release();
  });
  await withSilentServer((url) =>
    withPool({ url, operationTimeoutMs: 20_000 }, async (pool) => {
      const connecting = failureOf(pool.query("SELECT 1"));
      const closedAt = performance.now();
      await pool.close(200);
      assert.equal(postgresFailure(await connecting), "outage");
      assert.ok(performance.now() - closedAt < 10_000);
    })
  );
});

Deno.test("checkServer() requires a primary of version 14 that accepts writes", async () => {
  const url = await freshDatabase();
  const name = new URL(url).pathname.slice(1);
  const refusal = async (change: string): Promise<string> => {
    await withPool({ url }, async (pool) => void await pool.query(change));
    let message = "";
    await withPool({ url }, async (pool) => void (message = (await failureOf(checkServer(pool))).message));
    return message;
  };
  await withPool({ url }, async (pool) => assert.match((await checkServer(pool)).version, /^\d+/));

  // Functions of the same names that are found first replace the server's answers.
  const pretend = (result: string) =>
    `CREATE SCHEMA IF NOT EXISTS pretended;
     ALTER DATABASE ${name} SET search_path = pretended, pg_catalog;
     CREATE FUNCTION pretended.${result}`;
  assert.match(
    await refusal(pretend("pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true'")),
    /primary is needed, this server is a standby/,
  );
  assert.match(
    await refusal(pretend(
      `current_setting(text) RETURNS text LANGUAGE sql AS
         $$SELECT CASE $1 WHEN 'server_version_num' THEN '130014' ELSE pg_catalog.current_setting($1, true) END$$`,
    )),
    /PostgreSQL 14 or newer is needed, this is \d/,
  );
  assert.match(
    await refusal(
      `ALTER DATABASE ${name} RESET search_path; ALTER DATABASE ${name} SET default_transaction_read_only = on`,
    ),
    /takes no writes: default_transaction_read_only is on/,
  );
});
