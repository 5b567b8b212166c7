/**
 * A database and roles of its own for each test → the effects and refusals of migrate(), migrateDown(),
 * migrationStatus() and checkOwnership().
 *
 * Databases, roles and folders are removed again.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { systemClock } from "../../src/clock.ts";
import { postgresFailure } from "../../src/postgres/failures.ts";
import { migrate, migrateDown, type MigrateOptions, migrationStatus } from "../../src/postgres/migrate.ts";
import { checkOwnership, TABLES } from "../../src/postgres/ownership.ts";
import { openPool, type PostgresPool } from "../../src/postgres/pool.ts";
import { SchemaError } from "../../src/postgres/schema_error.ts";
import { freshDatabase, removeDatabase } from "../support/environment.ts";
import { eventually } from "../support/wait.ts";

/** The migrations of this version, in order. */
const ALL = [...Deno.readDirSync(new URL("../../migrations/", import.meta.url))].map(({ name }) => name).toSorted();
const NOT_APPLIED = ALL.map((name, at) => ({ version: at + 1, name, appliedAt: null }));
const OPTIONS: MigrateOptions = { lockTimeoutMs: 5_000 };
const LOCK = 0x6e6f746966;

class Rig {
  readonly #pools: PostgresPool[] = [];
  readonly #roles: string[] = [];
  readonly #folders: string[] = [];
  readonly url: string;
  readonly pool: PostgresPool;

  constructor(url: string) {
    this.url = url;
    this.pool = this.open(url);
  }

  open(url = this.url, operationTimeoutMs = 5_000): PostgresPool {
    const pool = openPool({ dsn: { reveal: () => url }, operationTimeoutMs, maxOpenConns: 4, applicationName: "test" });
    this.#pools.push(pool);
    return pool;
  }

  /** A role that may log in and nothing else. */
  async role(): Promise<string> {
    const role = `role_${crypto.randomUUID().replaceAll("-", "")}`;
    await this.pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    this.#roles.push(role);
    return role;
  }

  as(role: string): PostgresPool {
    const url = new URL(this.url);
    [url.username, url.password] = [role, "secret"];
    return this.open(url.href);
  }

  /** A folder with the given migrations after the first one, which creates the schema. */
  async folder(files: Readonly<Record<string, string>>): Promise<URL> {
    const path = await Deno.makeTempDir({ prefix: "migrations-" });
    this.#folders.push(path);
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${path}/${name}`, text);
    return new URL(`file://${path}/`);
  }

  async tables(): Promise<string[]> {
    const { rows } = await this.pool.query<{ tablename: string }>(
      "SELECT tablename FROM pg_tables WHERE schemaname = 'notification' ORDER BY tablename",
    );
    return rows.map(({ tablename }) => tablename);
  }

  async end(): Promise<void> {
    for (const role of this.#roles) await this.pool.query(`DROP OWNED BY ${role} CASCADE`);
    for (const role of this.#roles) await this.pool.query(`DROP ROLE ${role}`);
    await Promise.all(this.#pools.map((pool) => pool.close(1_000)));
    for (const folder of this.#folders) await Deno.remove(folder, { recursive: true });
    await removeDatabase(this.url);
  }
}

function test(name: string, work: (rig: Rig) => Promise<void>) {
  Deno.test(name, async () => {
    const rig = new Rig(await freshDatabase());
    try {
      await work(rig);
    } finally {
      await rig.end();
    }
  });
}

async function refusal(promise: Promise<unknown>): Promise<SchemaError> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof SchemaError, `not refused: ${error}`);
  return error;
}

test("an empty database gets the contract's tables, once", async ({ pool }) => {
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: ALL });
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: [] });
  await checkOwnership(pool);

  const { rows } = await pool.query<{ table: string; columns: string }>(
    `SELECT table_name AS table, string_agg(column_name || ' ' || data_type, ', ' ORDER BY column_name) AS columns
     FROM information_schema.columns WHERE table_schema = 'notification' GROUP BY table_name`,
  );
  const columns = Object.fromEntries(rows.map(({ table, columns }) => [table, columns.split(", ")]));
  const time = "timestamp with time zone";
  assert.deepEqual(columns, {
    records: [
      `accepted_at ${time}`,
      "audience_kind text",
      "idempotency_key text",
      "notification_id uuid",
      "notification_type text",
      `occurred_at ${time}`,
      "payload json",
      "producer text",
      "recipient_user_ids jsonb",
      "request_fingerprint bytea",
      "request_id text",
      "stream text",
      "stream_entry_id text",
      "trace_id text",
      "traceparent text",
    ],
    routes: [
      "attempt_count integer",
      "channel text",
      `created_at ${time}`,
      "last_error_classification text",
      "last_error_message text",
      "locale text",
      "max_attempts integer",
      `next_attempt_at ${time}`,
      "notification_id uuid",
      "published_entry_id text",
      "recipient text",
      "recipient_email text",
      "route_id text",
      "status text",
      `updated_at ${time}`,
    ],
    dead_letters: [
      "attempt_count integer",
      "channel text",
      `created_at ${time}`,
      "failure_classification text",
      "failure_message text",
      "max_attempts integer",
      "notification_id uuid",
      "recipient text",
      "route_id text",
    ],
    malformed_intents: [
      "failure_code text",
      "failure_message text",
      "idempotency_key text",
      "notification_type text",
      "producer text",
      "raw_fields jsonb",
      `recorded_at ${time}`,
      "stream text",
      "stream_entry_id text",
    ],
    stream_offsets: [
      "entries_read bigint",
      "entry_id text",
      "redis_epoch text",
      "stream text",
      `updated_at ${time}`,
    ],
    repairs: [
      `detected_at ${time}`,
      `finished_at ${time}`,
      "lost_after text",
      "lost_up_to text",
      "next_notification_id uuid",
      "next_route_id text",
      "routes bigint",
      "stream text",
    ],
    goose_db_version: ["id integer", "is_applied boolean", "tstamp timestamp without time zone", "version_id bigint"],
  });
});

test("every table has the contract's keys", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  const { rows } = await pool.query<{ key: string }>(
    `SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) AS key FROM pg_constraint
     WHERE connamespace = 'notification'::regnamespace AND contype IN ('p', 'u')`,
  );
  assert.deepEqual(rows.map(({ key }) => key).sort(), [
    "notification.dead_letters PRIMARY KEY (notification_id, route_id)",
    "notification.goose_db_version PRIMARY KEY (id)",
    "notification.malformed_intents PRIMARY KEY (stream, stream_entry_id)",
    "notification.records PRIMARY KEY (notification_id)",
    "notification.records UNIQUE (producer, idempotency_key)",
    "notification.repairs PRIMARY KEY (stream, detected_at)",
    "notification.routes PRIMARY KEY (notification_id, route_id)",
    "notification.stream_offsets PRIMARY KEY (stream)",
  ]);
});

test("the version table is goose's own, with its row 0", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  const { rows } = await pool.query("SELECT id, version_id, is_applied FROM notification.goose_db_version ORDER BY id");
  assert.deepEqual(rows, [
    { id: 1, version_id: "0", is_applied: true },
    ...ALL.map((_, at) => ({ id: at + 2, version_id: String(at + 1), is_applied: true })),
  ]);
  // As goose inserts rows, and as its older versions recorded a Down.
  await pool.query("INSERT INTO notification.goose_db_version (version_id, is_applied) VALUES ($1, false)", [
    ALL.length,
  ]);
  assert.equal((await migrationStatus(pool)).at(-1)?.appliedAt, null);
});

test("status and Down follow what is applied", async (rig) => {
  const { pool } = rig;
  assert.deepEqual(await migrationStatus(pool), NOT_APPLIED);
  assert.deepEqual(await migrateDown(pool, OPTIONS), { rolledBack: undefined });
  await migrate(pool, OPTIONS);
  const [status] = await migrationStatus(pool);
  const { rows } = await pool.query<{ now: Date }>("SELECT now()");
  assert.ok(Math.abs(rows[0]!.now.getTime() - status!.appliedAt!.getTime()) < 10_000);

  for (const name of ALL.toReversed()) assert.deepEqual(await migrateDown(pool, OPTIONS), { rolledBack: name });
  assert.deepEqual(await rig.tables(), ["goose_db_version"]);
  assert.deepEqual(await migrationStatus(pool), NOT_APPLIED);
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: ALL });
});

test("four instances that start at once on an empty database all start", async (rig) => {
  const results = await Promise.all(Array.from({ length: 4 }, () => migrate(rig.open(), OPTIONS)));
  assert.deepEqual(results.flatMap(({ applied }) => applied), ALL);
  assert.equal((await rig.tables()).length, TABLES.length);
});

test("a role without rights on the database runs where the schema exists", async (rig) => {
  const role = await rig.role();
  await rig.pool.query(`CREATE SCHEMA notification AUTHORIZATION ${role}`);
  const pool = rig.as(role);
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: ALL });
  await checkOwnership(pool);
  // Once the tables exist it needs no right to create anything in the schema either.
  await rig.pool.query(
    `ALTER SCHEMA notification OWNER TO CURRENT_USER; GRANT USAGE ON SCHEMA notification TO ${role}`,
  );
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: [] });
});

test("a role that may not create the missing schema gets advice", async (rig) => {
  const role = await rig.role();
  const { message } = await refusal(migrate(rig.as(role), OPTIONS));
  assert.match(message, /^There is no schema notification in database test_/);
  assert.ok(message.endsWith(`CREATE SCHEMA notification AUTHORIZATION "${role}"`), message);
});

test("tables of another role are refused, with their names and owner", async (rig) => {
  const [owner, other] = [await rig.role(), await rig.role()];
  await rig.pool.query(`CREATE SCHEMA notification AUTHORIZATION ${owner}`);
  await migrate(rig.as(owner), OPTIONS);
  const pool = rig.as(other);
  for (const check of [() => migrate(pool, OPTIONS), () => checkOwnership(pool)]) {
    const { message } = await refusal(check());
    assert.match(message, new RegExp(`^Role ${other} must own the tables`));
    for (const table of await rig.tables()) {
      assert.ok(message.includes(`notification.${table} is owned by ${owner}`), message);
    }
  }
  await rig.pool.query(`GRANT ${owner} TO ${other}`);
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: [] });
  await checkOwnership(pool);

  // From PostgreSQL 16 on the role's attribute is used when the membership is granted.
  const grantAs = async (attribute: "INHERIT" | "NOINHERIT") => {
    await rig.pool.query(`ALTER ROLE ${other} ${attribute}`);
    await rig.pool.query(`REVOKE ${owner} FROM ${other}`);
    await rig.pool.query(`GRANT ${owner} TO ${other}`);
  };
  await grantAs("NOINHERIT");
  assert.match((await refusal(checkOwnership(pool))).message, /by inheriting from their owner/);
  await grantAs("INHERIT");
  await rig.pool.query("ALTER TABLE notification.dead_letters OWNER TO CURRENT_USER");
  const { message } = await refusal(checkOwnership(pool));
  const superuser = decodeURIComponent(new URL(rig.url).username);
  assert.ok(message.endsWith(`: notification.dead_letters is owned by ${superuser}`), message);
});

test("a table that is missing after the migrations is named", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  await pool.query("DROP TABLE notification.dead_letters");
  assert.equal((await refusal(checkOwnership(pool))).message, "There is no table notification.dead_letters");
});

test("a schema that is newer than the executable is refused, and so is one with a missing migration", async (rig) => {
  await migrate(rig.pool, OPTIONS);
  const folder = await rig.folder({
    "00001_one.sql": "-- +goose Up\nSELECT 1;\n",
    "00002_two.sql": "-- +goose Up\nSELECT 2;\n",
    "00003_three.sql": "-- +goose Up\nSELECT 3;\n",
  });
  await rig.pool.query("DELETE FROM notification.goose_db_version WHERE version_id > 1");
  await rig.pool.query("INSERT INTO notification.goose_db_version (version_id, is_applied) VALUES (1000, true)");
  for (const attempt of [migrate, migrateDown]) {
    const { message } = await refusal(attempt(rig.pool, OPTIONS));
    assert.match(
      message,
      new RegExp(`has version 1000, this executable knows versions up to ${ALL.length}: a newer executable is needed`),
    );
  }
  const last = (await migrationStatus(rig.pool)).at(-1)!;
  assert.deepEqual([last.version, last.name], [1000, ""]);
  await rig.pool.query("UPDATE notification.goose_db_version SET version_id = 3 WHERE version_id = 1000");
  assert.match(
    (await refusal(migrate(rig.pool, { ...OPTIONS, folder }))).message,
    /00002_two.sql was left out although version 3 is applied/,
  );
});

test("the wait for another instance is bounded, and ends when that instance is done", async (rig) => {
  const holder = new pg.Client({ connectionString: rig.url, application_name: "notification-service/the-other" });
  await holder.connect();
  try {
    const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid, pg_advisory_lock($1)", [
      LOCK,
    ]);
    const startedAt = performance.now();
    const { message } = await refusal(migrate(rig.pool, { lockTimeoutMs: 300 }));
    assert.ok(performance.now() - startedAt < 4_000); // the pool's own lock_timeout
    assert.match(message, /has been migrating the schema for over 300 ms/);
    assert.ok(message.endsWith(`(process ${rows[0]!.pid}, notification-service/the-other)`), message);

    // The system's time is set ahead by an hour while it waits.
    let hours = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + hours++ * 3_600_000 };
    const waiting = migrate(rig.pool, { ...OPTIONS, clock });
    await holder.query("SELECT pg_sleep(0.2)");
    await holder.query("SELECT pg_advisory_unlock($1)", [LOCK]);
    assert.deepEqual(await waiting, { applied: ALL });
  } finally {
    await holder.end();
  }
});

test("the pool's bounds don't cut a migration", async (rig) => {
  const slow = (seconds: number) => `-- +goose Up\nSELECT pg_sleep(${seconds});\n`;
  const folder = await rig.folder({ "1_slow.sql": slow(2.5) });
  assert.deepEqual(await migrate(rig.open(rig.url, 1_000), { ...OPTIONS, folder }), { applied: ["1_slow.sql"] });
  const bounded = await rig.folder({ "1_slow.sql": slow(2.5), "2_slow.sql": slow(9) });
  const { message } = await refusal(migrate(rig.pool, { ...OPTIONS, folder: bounded, statementTimeoutMs: 300 }));
  assert.match(
    message,
    /^Migration 2_slow\.sql \(up\) failed: canceling statement due to statement timeout \(57014\)$/,
  );
});

test("time-outs that a database has for its sessions don't cut a migration", async (rig) => {
  const names = ["statement_timeout", "transaction_timeout", "idle_session_timeout"];
  // transaction_timeout came with PostgreSQL 17.
  const { rows } = await rig.pool.query<{ name: string }>("SELECT name FROM pg_settings WHERE name = ANY ($1)", [
    names,
  ]);
  for (const { name } of rows) {
    await rig.pool.query(`ALTER DATABASE ${new URL(rig.url).pathname.slice(1)} SET ${name} = '300ms'`);
  }
  const folder = await rig.folder({ "1_slow.sql": "-- +goose Up\nSELECT pg_sleep(0.5);\nSELECT pg_sleep(0.5);\n" });
  assert.deepEqual(await migrate(rig.open(), { ...OPTIONS, folder }), { applied: ["1_slow.sql"] });
});

test("a migration that fails leaves nothing behind, and earlier ones stay", async (rig) => {
  const files = {
    "1_good.sql": "-- +goose Up\nCREATE TABLE notification.good (n int);\n",
    "2_bad.sql": "-- +goose Up\nCREATE TABLE notification.half (n int);\nSELECT 1 / 0;\n-- +goose Down\nSELECT 1;\n",
  };
  const folder = await rig.folder(files);
  const error = await refusal(migrate(rig.pool, { ...OPTIONS, folder }));
  assert.equal(error.message, "Migration 2_bad.sql (up) failed: division by zero (22012)");
  assert.ok(error.cause instanceof pg.DatabaseError);
  assert.deepEqual(await rig.tables(), ["good", "goose_db_version"]);
  const mended = await rig.folder({ ...files, "2_bad.sql": files["2_bad.sql"].replace("1 / 0", "1 / 1") });
  assert.deepEqual(await migrate(rig.pool, { ...OPTIONS, folder: mended }), { applied: ["2_bad.sql"] });
});

test("NO TRANSACTION lets an index be built concurrently", async (rig) => {
  const folder = await rig.folder({
    "1_table.sql": "-- +goose Up\nCREATE TABLE notification.t (n int);\n",
    "2_index.sql":
      "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY t_n_idx ON notification.t (n);\n" +
      "-- +goose Down\nDROP INDEX CONCURRENTLY notification.t_n_idx;\n",
  });
  assert.deepEqual(await migrate(rig.pool, { ...OPTIONS, folder }), { applied: ["1_table.sql", "2_index.sql"] });
  assert.deepEqual(await migrateDown(rig.pool, { ...OPTIONS, folder }), { rolledBack: "2_index.sql" });
});

test("an abort ends a migration at once and undoes it", async (rig) => {
  const folder = await rig.folder({
    "1_slow.sql": "-- +goose Up\nCREATE TABLE notification.half (n int);\nSELECT pg_sleep(5);\n",
  });
  const stop = new AbortController();
  const reason = new Error("the shutdown began");
  const pending = migrate(rig.pool, { ...OPTIONS, folder, signal: stop.signal }).catch((error: unknown) => error);
  const isAsleep = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
  await eventually(async () => (await rig.pool.query(isAsleep)).rowCount === 1);
  stop.abort(reason);
  assert.equal(await pending, reason);
  // The server notices the end when the current statement is done; only then is the lock free.
  assert.deepEqual(await migrate(rig.pool, { ...OPTIONS, lockTimeoutMs: 20_000 }), { applied: ALL });
  assert.ok(!(await rig.tables()).includes("half"));
});

test("a connection lost in the middle of a migration is reported as such", async (rig) => {
  const folder = await rig.folder({
    "1_killed.sql": "-- +goose Up\nSELECT pg_terminate_backend(pg_backend_pid());\n",
  });
  const error = await refusal(migrate(rig.pool, { ...OPTIONS, folder }));
  assert.match(error.message, /^Migration 1_killed\.sql \(up\) failed: (terminating connection|Connection terminated)/);
  assert.equal(postgresFailure(error), "outage");
});

test("claims, the next wake-up and the depth are served by the index of live routes", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  await pool.query(`
    INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts, next_attempt_at)
    SELECT gen_random_uuid(), 'push:user:' || i, 'push', 'user:' || i,
      CASE WHEN i % 100 = 0 THEN 'pending' ELSE 'published' END, 3, CASE WHEN i % 100 = 0 THEN now() END
    FROM generate_series(1, 20000) AS i`);
  const plan = async (sql: string) => {
    const { rows } = await pool.query<{ "QUERY PLAN": string }>(`EXPLAIN (COSTS OFF) ${sql}`);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };
  const claim = `SELECT notification_id, route_id FROM notification.routes
    WHERE channel = 'push' AND next_attempt_at >= '-infinity' AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT 500 FOR UPDATE SKIP LOCKED`;
  const next =
    "SELECT min(next_attempt_at) FROM notification.routes WHERE channel = 'push' AND next_attempt_at > now()";
  const depth = `SELECT channel, count(*) FROM notification.routes WHERE next_attempt_at IS NOT NULL GROUP BY channel`;
  for (const analyze of [false, true]) {
    if (analyze) await pool.query("VACUUM ANALYZE notification.routes");
    const found = await plan(claim);
    assert.match(found, /Index Scan using routes_live_idx/);
    assert.doesNotMatch(found, /Sort/);
    assert.match(await plan(next), /Index Only Scan using routes_live_idx/);
  }
  assert.match(await plan(depth), /Index Only Scan using routes_live_idx/);
});

test("operators' look-ups by key and by time are served by indexes", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  await pool.query(`
    INSERT INTO notification.malformed_intents (stream, stream_entry_id, producer, idempotency_key, failure_code, failure_message, raw_fields)
    SELECT 's', i || '-0', 'p', 'key-' || i, 'invalid_payload', 'm', '[]' FROM generate_series(1, 20000) AS i`);
  await pool.query(`
    INSERT INTO notification.dead_letters (notification_id, route_id, channel, recipient, attempt_count, max_attempts,
      failure_classification, failure_message, created_at)
    SELECT gen_random_uuid(), 'push:user:u', 'push', 'user:u', 3, 3, 'c', 'm', now() - i * interval '1 second'
    FROM generate_series(1, 20000) AS i`);
  await pool.query("VACUUM ANALYZE notification.malformed_intents, notification.dead_letters");
  const usedBy = async (sql: string) => {
    const { rows } = await pool.query<{ "QUERY PLAN": string }>(`EXPLAIN (COSTS OFF) ${sql}`);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };
  const byKey = "SELECT * FROM notification.malformed_intents WHERE producer = 'p' AND idempotency_key = 'key-7'";
  assert.match(await usedBy(byKey), /malformed_intents_key_idx/);
  const newest = "SELECT * FROM notification.malformed_intents ORDER BY recorded_at DESC LIMIT 50";
  assert.match(await usedBy(newest), /malformed_intents_recorded_at_idx/);
  const deadLetters = "SELECT * FROM notification.dead_letters ORDER BY created_at DESC LIMIT 50";
  assert.match(await usedBy(deadLetters), /dead_letters_created_at_idx/);
});

test("migrations work although the ids of goose's table are behind its rows, as in a logical replica", async ({ pool }) => {
  await migrate(pool, OPTIONS);
  await migrateDown(pool, OPTIONS);
  await pool.query("ALTER TABLE notification.goose_db_version ALTER id RESTART");
  assert.deepEqual(await migrate(pool, OPTIONS), { applied: [ALL.at(-1)] });
  const { rows } = await pool.query("SELECT version_id FROM notification.goose_db_version ORDER BY id");
  assert.deepEqual(rows.map(({ version_id }) => Number(version_id)), [0, ...ALL.map((_, at) => at + 1)]);
});
