/**
 * A PostgreSQL with unfavourable settings of the role, limits or standbys → the pool's sessions and the number of its
 * connections are right.
 *
 * Every pool is closed and every role dropped.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { describePostgresError, postgresFailure } from "../../src/postgres/failures.ts";
import { openPool, type PoolOptions, type PostgresPool } from "../../src/postgres/pool.ts";
import { inTransaction } from "../../src/postgres/transaction.ts";
import { freshDatabase, removeDatabase, testPostgres } from "../support/environment.ts";
import { eventually } from "../support/wait.ts";

/** A role for which `statements` were run, with `$role` as its name, and a pool of its connections. */
async function withRole(statements: readonly string[], work: (pool: PostgresPool) => Promise<void>, maxOpenConns = 4) {
  const url = new URL(await freshDatabase());
  const role = `role_${crypto.randomUUID().replaceAll("-", "")}`;
  const admin = new pg.Client({ connectionString: testPostgres() });
  await admin.connect();
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  for (const sql of statements) await admin.query(sql.replaceAll("$role", role));
  const dsn = Object.assign(new URL(url), { username: role, password: "secret" }).href;
  const pool = open(dsn, { maxOpenConns });
  try {
    await work(pool);
  } finally {
    await pool.close(2_000);
    await removeDatabase(url.href);
    await admin.query(`DROP ROLE ${role}`);
    await admin.end();
  }
}

function open(dsn: string, changes: Partial<PoolOptions> = {}): PostgresPool {
  const applicationName = "notification-service/sessions";
  return openPool({
    dsn: { reveal: () => dsn },
    operationTimeoutMs: 5_000,
    maxOpenConns: 4,
    applicationName,
    ...changes,
  });
}

async function setting(pool: pg.Pool, name: string): Promise<string | undefined> {
  const { rows } = await pool.query<{ value: string | null }>("SELECT current_setting($1, true) AS value", [name]);
  return rows[0]!.value ?? undefined;
}

for (
  const [set, used] of [["off", "on"], ["local", "local"], ["remote_apply", "remote_apply"], ["on", "on"]] as const
) {
  Deno.test(`synchronous_commit = ${set} on the role: the session's is ${used}`, async () => {
    await withRole([`ALTER ROLE $role SET synchronous_commit = ${set}`], async (pool) => {
      assert.equal(await setting(pool, "synchronous_commit"), used);
    });
  });
}

Deno.test("time-outs of the role end neither a long transaction nor an idle connection", async () => {
  const knows = await (async () => {
    const pool = open(testPostgres());
    const value = await setting(pool, "transaction_timeout");
    await pool.close(1_000);
    return value !== undefined;
  })();
  const timeouts = ["idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout"];
  if (knows) timeouts.push("transaction_timeout");
  await withRole(timeouts.map((name) => `ALTER ROLE $role SET ${name} = '300ms'`), async (pool) => {
    const pid = async (client: Pick<pg.ClientBase, "query">) =>
      (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]!.pid;
    const before = await pid(pool);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(await pid(pool), before);
    await inTransaction(pool, async (client) => {
      for (let statements = 0; statements < 3; statements++) await client.query("SELECT pg_sleep(0.4)");
    });
    assert.equal(await pid(pool), before);
  });
});

Deno.test("a role with fewer connections than the pool may have makes statements wait, and none fail", async () => {
  await withRole(["ALTER ROLE $role CONNECTION LIMIT 3"], async (pool) => {
    // At least one connection is needed: if the server grants none, that is an outage.
    await pool.query("SELECT 1");
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: 50 }, () => pool.query("SELECT pg_sleep(0.02)")));
    }
    assert.ok(pool.totalCount <= 3);
  }, 10);
});

Deno.test("statements that wait for a synchronous standby leave less than twice as many connections as the pool may have", async () => {
  await using postgres = await startPostgres();
  const observer = new pg.Client({ connectionString: postgres.dsn });
  await observer.connect();
  await observer.query("CREATE TABLE numbers (n int PRIMARY KEY)");
  await observer.query("CREATE TABLE trials ()");
  const [maxOpenConns, applicationName] = [4, "notification-service/standby"];
  const pool = open(postgres.dsn, { maxOpenConns, applicationName, operationTimeoutMs: 300 });
  const backends = async () => {
    const { rows } = await observer.query<{ backends: number }>(
      "SELECT count(*)::int AS backends FROM pg_stat_activity WHERE application_name = $1",
      [applicationName],
    );
    return rows[0]!.backends;
  };
  const insert = (n: number) => pool.query("INSERT INTO numbers VALUES ($1)", [n]);
  try {
    await insert(0);
    await setStandby(observer, "'nowhere'");
    // The checkpointer makes commits wait, a little later.
    await eventually(() => pool.query("INSERT INTO trials DEFAULT VALUES").then(() => false, () => true));
    const failures: string[] = [];
    let most = 0;
    for (let n = 1; n <= 40; n += 2) {
      for (const settled of await Promise.allSettled([insert(n), insert(n + 1)])) {
        assert.equal(settled.status, "rejected");
        assert.equal(postgresFailure(settled.reason), "outage");
        failures.push(describePostgresError(settled.reason));
      }
      most = Math.max(most, await backends());
    }
    assert.ok(most < 2 * maxOpenConns, `${most} backends`);
    assert.ok(failures.some((text) => /still at work on \d+ statements/.test(text)), failures.join("\n"));

    await setStandby(observer, "''");
    await eventually(() => insert(1_000).then(() => true));
    await eventually(async () => await backends() <= maxOpenConns);
    // Every statement that was sent is committed once.
    const { rows } = await observer.query<{ n: number }>("SELECT n FROM numbers ORDER BY n");
    assert.ok(rows.length > maxOpenConns && rows.length <= 2 * maxOpenConns + 1, String(rows.length));
  } finally {
    await pool.close(1_000);
    await observer.end();
  }
});

async function setStandby(client: pg.Client, names: string): Promise<void> {
  await client.query("SET synchronous_commit = local");
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = ${names}`);
  await client.query("SELECT pg_reload_conf()");
  await eventually(async () => {
    const { rows } = await client.query<{ names: string }>("SHOW synchronous_standby_names");
    return Object.values(rows[0]!)[0] === names.slice(1, -1);
  });
}
