/**
 * The migrations in the executable → the schema `notification`, applied once however many instances start.
 *
 * An advisory lock excludes other instances, which wait for a bounded time. Each migration commits together with its
 * row in goose's version table. A schema that is newer than the executable is refused. A schema or table that exists is
 * not created again, so that a role without rights on the database can run.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { type Clock, systemClock } from "../clock.ts";
import { describePostgresError } from "./failures.ts";
import { type Migration, parseMigration } from "./goose.ts";
import { checkOwnership } from "./ownership.ts";
import { SchemaError } from "./schema_error.ts";
import { withClient } from "./transaction.ts";

export interface MigrateOptions {
  /** How long to wait for another instance that is migrating, and within a migration for a table that is in use. */
  readonly lockTimeoutMs: number;
  /** Bound of one statement of a migration. The default is an hour: an index on many millions of rows takes long. */
  readonly statementTimeoutMs?: number;
  /** Breaks the connection: PostgreSQL rolls the current migration back. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Default: the migrations of this executable. */
  readonly folder?: URL;
}

export interface MigrationStatus {
  readonly version: number;
  /** The file's name; empty for a version that this executable does not know. */
  readonly name: string;
  readonly appliedAt: Date | null;
}

type Client = Pick<pg.ClientBase, "query">;

/** "notif" in ASCII; it can be any number that no other program on this database uses. */
const ADVISORY_LOCK = 0x6e6f746966;
const LOCK_POLL_MS = 50;
const HOUR_MS = 3_600_000;
const EMBEDDED = new URL("../../migrations/", import.meta.url);

/** Applies the missing migrations and returns their names. @throws SchemaError, or the signal's reason */
export async function migrate(pool: pg.Pool, options: MigrateOptions): Promise<{ applied: string[] }> {
  const known = await readMigrations(options.folder);
  return await withSchemaLock(pool, options, async (client) => {
    await createVersionTable(client);
    const pending = pendingMigrations(known, await appliedVersions(client));
    for (const migration of pending) await apply(client, migration, { direction: "up", ...options });
    return { applied: pending.map(({ name }) => name) };
  });
}

/**
 * The names of the migrations that migrate() would apply. Changes nothing and takes no lock.
 * @throws SchemaError if migrate() would refuse the schema
 */
export async function findPending(client: Client): Promise<{ pending: string[]; known: number }> {
  const known = await readMigrations();
  const pending = pendingMigrations(known, await appliedVersions(client));
  return { pending: pending.map(({ name }) => name), known: known.length };
}

/** Rolls the newest migration back and returns its name; `undefined` when none is applied. @throws as migrate() */
export async function migrateDown(pool: pg.Pool, options: MigrateOptions): Promise<{ rolledBack: string | undefined }> {
  const known = await readMigrations(options.folder);
  return await withSchemaLock(pool, options, async (client) => {
    const applied = await appliedVersions(client);
    const newest = Math.max(0, ...applied.keys());
    if (newest === 0) return { rolledBack: undefined };
    const migration = known.find(({ version }) => version === newest);
    if (migration === undefined) throw newerSchema(newest, known);
    await apply(client, migration, { direction: "down", ...options });
    return { rolledBack: migration.name };
  });
}

/** All known migrations and all applied ones, by version. Changes nothing and takes no lock. */
export async function migrationStatus(client: Client): Promise<MigrationStatus[]> {
  const known = await readMigrations();
  const applied = await appliedVersions(client);
  const names = new Map([...applied.keys()].map((version) => [version, ""]));
  for (const { version, name } of known) names.set(version, name);
  return [...names]
    .map(([version, name]) => ({ version, name, appliedAt: applied.get(version) ?? null }))
    .sort((left, right) => left.version - right.version);
}

async function readMigrations(folder = EMBEDDED): Promise<Migration[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".sql")) names.push(name);
  const read = async (name: string) => parseMigration(name, await Deno.readTextFile(new URL(name, folder)));
  const migrations = await Promise.all(names.map(read));
  migrations.sort((left, right) => left.version - right.version);
  migrations.forEach(({ version, name }, at) => {
    if (migrations[at + 1]?.version === version) throw new Error(`Migration ${name} has another one's version`);
  });
  return migrations;
}

/**
 * The connection is not handed back: it has its own settings, and its end frees the lock whatever happened. A pooler
 * keeps the session, so that the lock and the settings are given up before.
 */
async function withSchemaLock<Result>(
  pool: pg.Pool,
  options: MigrateOptions,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const { lockTimeoutMs, statementTimeoutMs = HOUR_MS, signal } = options;
  try {
    return await withClient(pool, { signal }, async (client) => {
      try {
        await lock(client, options);
        await client.query(
          "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)",
          [String(statementTimeoutMs), String(lockTimeoutMs)],
        );
        await checkOwnership(client, { missing: "allowed" });
        return await work(client);
      } finally {
        // If the connection is broken, its session has ended too.
        await client.query("ROLLBACK").then(() => client.query("DISCARD ALL")).catch(() => {});
      }
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof SchemaError) throw error;
    throw new SchemaError(`The schema could not be brought up to date: ${describePostgresError(error)}`, {
      cause: error,
    });
  }
}

async function lock(client: Client, { lockTimeoutMs, signal, clock = systemClock }: MigrateOptions): Promise<void> {
  const until = clock.monotonic() + lockTimeoutMs;
  for (;;) {
    const { rows } = await client.query<{ isLocked: boolean }>(
      'SELECT pg_try_advisory_lock($1) AS "isLocked"',
      [ADVISORY_LOCK],
    );
    if (rows[0]!.isLocked) return;
    signal?.throwIfAborted();
    if (clock.monotonic() >= until) {
      const holder = await lockHolder(client);
      throw new SchemaError(`Another session has been migrating the schema for over ${lockTimeoutMs} ms${holder}`);
    }
    await clock.sleep(LOCK_POLL_MS, signal);
  }
}

async function lockHolder(client: Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; name: string }>(
    `SELECT pid, coalesce(application_name, '') AS name
     FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (classid::bigint << 32 | objid::bigint) = $1`,
    [ADVISORY_LOCK],
  );
  const holder = rows[0];
  return holder === undefined ? "" : ` (process ${holder.pid}${holder.name && `, ${holder.name}`})`;
}

/** goose's own table, with its row for the state before any migration. */
async function createVersionTable(client: Client): Promise<void> {
  if (await hasVersionTable(client)) return;
  await atomically(client, async () => {
    await createSchema(client);
    await client.query(`
      CREATE TABLE notification.goose_db_version (
        id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
        version_id bigint NOT NULL,
        is_applied boolean NOT NULL,
        tstamp timestamp NOT NULL DEFAULT now()
      )`);
    await insertVersion(client, 0);
  });
}

async function createSchema(client: Client): Promise<void> {
  const { rows } = await client.query<{ exists: boolean; mayCreate: boolean; role: string; database: string }>(
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'notification') AS exists,
       has_database_privilege(current_database(), 'CREATE') AS "mayCreate",
       current_user AS role, current_database() AS database`,
  );
  const { exists, mayCreate, role, database } = rows[0]!;
  if (exists) return;
  if (!mayCreate) {
    throw new SchemaError(
      `There is no schema notification in database ${database} and role ${role} may not create it: ` +
        `have an administrator run CREATE SCHEMA notification AUTHORIZATION ${pg.escapeIdentifier(role)}`,
    );
  }
  await client.query("CREATE SCHEMA notification");
}

/** Reads the catalog, because to_regclass() fails without rights on the schema. */
async function hasVersionTable(client: Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = 'notification' AND relname = 'goose_db_version'`,
  );
  return rowCount === 1;
}

/** Goose's rows are a history: the newest row of a version counts. Row 0 is the empty schema, not a migration. */
async function appliedVersions(client: Client): Promise<Map<number, Date>> {
  if (!await hasVersionTable(client)) return new Map();
  const { rows } = await client.query<{ version_id: string; is_applied: boolean; at: Date }>(
    `SELECT DISTINCT ON (version_id) version_id, is_applied, tstamp AT TIME ZONE 'UTC' AS at
     FROM notification.goose_db_version WHERE version_id > 0 ORDER BY version_id, id DESC`,
  );
  return new Map(rows.filter((row) => row.is_applied).map((row) => [Number(row.version_id), row.at]));
}

function pendingMigrations(known: readonly Migration[], applied: ReadonlyMap<number, Date>): Migration[] {
  const newest = Math.max(0, ...applied.keys());
  if (newest > (known.at(-1)?.version ?? 0)) throw newerSchema(newest, known);
  const pending = known.filter(({ version }) => !applied.has(version));
  const skipped = pending.find(({ version }) => version < newest);
  if (skipped !== undefined) {
    throw new SchemaError(`Migration ${skipped.name} was left out although version ${newest} is applied`);
  }
  return pending;
}

function newerSchema(version: number, known: readonly Migration[]): SchemaError {
  const newest = known.at(-1)?.version ?? 0;
  return new SchemaError(
    `The schema has version ${version}, this executable knows versions up to ${newest}: a newer executable is needed`,
  );
}

async function apply(
  client: Client,
  migration: Migration,
  { direction, statementTimeoutMs = HOUR_MS }: { direction: "up" | "down"; statementTimeoutMs?: number },
): Promise<void> {
  const { version, name } = migration;
  const run = async () => {
    for (const text of migration[direction]) {
      // `query_timeout` is pg's own bound of a statement, missing in its types; the server's bound comes first.
      const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: statementTimeoutMs + 5_000 };
      await client.query(query);
    }
    if (direction === "up") await insertVersion(client, version);
    else await client.query("DELETE FROM notification.goose_db_version WHERE version_id = $1", [version]);
  };
  try {
    await (migration.inTransaction ? atomically(client, run) : run());
  } catch (error) {
    throw new SchemaError(`Migration ${name} (${direction}) failed: ${describePostgresError(error)}`, { cause: error });
  }
}

async function insertVersion(client: Client, version: number): Promise<void> {
  // A logical replica or a partly restored database has the rows, but the sequence of their ids is at its beginning.
  await client.query(`
    SELECT setval(sequence, newest) FROM (
      SELECT pg_get_serial_sequence('notification.goose_db_version', 'id')::regclass AS sequence, max(id) AS newest
      FROM notification.goose_db_version
    ) AS ids WHERE newest > coalesce(pg_sequence_last_value(sequence), 0)`);
  await client.query("INSERT INTO notification.goose_db_version (version_id, is_applied) VALUES ($1, true)", [version]);
}

/** A transaction that an error leaves open ends with the connection. */
async function atomically(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query("BEGIN");
  await work();
  await client.query("COMMIT");
}
