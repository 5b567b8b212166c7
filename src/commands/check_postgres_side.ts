/** PostgreSQL → the findings of `run` at its start: server, migrations, ownership, tables. Changes nothing. */
// @ts-types="@types/pg"
import pg from "pg";
import type { Config } from "../config/config.ts";
import { findPending } from "../postgres/migrate.ts";
import { checkOwnership, TABLES } from "../postgres/ownership.ts";
import { checkServer, type PostgresPool } from "../postgres/pool.ts";
import { UnsuitablePostgres } from "../postgres/unsuitable.ts";
import { bad, type Finding, good, refused, warn } from "./finding.ts";
import { openPostgres } from "./stores.ts";

const FROM_A_BACKUP = "restore it from a backup: docs/upgrade_and_backup.md";

/** @param bounded bounds a check as the start-up does */
export async function checkPostgresSide(
  config: Config,
  bounded: <Value>(check: () => Promise<Value>) => Promise<Value>,
): Promise<Finding[]> {
  let pool: PostgresPool;
  try {
    pool = openPostgres(config, "check");
  } catch (error) {
    return [refused("postgres", (error as Error).message, "check NOTIFICATION_POSTGRES_PRIMARY_DSN")];
  }
  const findings: Finding[] = [];
  /** Adds the finding of the check, or its error with that advice. Returns whether nothing is wrong. */
  const passes = async (name: string, advice: string, check: () => Promise<Finding>): Promise<boolean> => {
    try {
      findings.push(await bounded(check));
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      const fitting = cause instanceof UnsuitablePostgres ? cause.advice : advice;
      findings.push(bad(name, (error as Error).message, fitting));
    }
    return findings.at(-1)!.ok;
  };
  try {
    const reached = await passes("postgres", "", async () => {
      return good("postgres", `a primary, version ${(await checkServer(pool)).version}`);
    });
    if (!reached) return findings;
    await passes("connections", "", () => checkConnectionLimit(pool, config.postgres.maxOpenConns));
    const owned = await passes("ownership", "ALTER TABLE … OWNER TO this role, as an administrator", async () => {
      await checkOwnership(pool, { missing: "allowed" });
      return good("ownership", "the existing tables belong to this role");
    });
    if (!owned) return findings;
    let hasPending = false;
    const migrated = await passes("migrations", "install the executable that fits this schema", async () => {
      const { pending, known } = await findPending(pool);
      hasPending = pending.length > 0;
      return hasPending ? await mayMigrate(pool, { pending, known }) : good("migrations", `all ${known} applied`);
    });
    if (!migrated || hasPending) return findings;
    await passes("tables", FROM_A_BACKUP, async () => {
      await checkOwnership(pool);
      return good("tables", "all there");
    });
    return findings;
  } finally {
    await pool.close(1000);
  }
}

/** The smallest limit that applies to this role. */
async function checkConnectionLimit(pool: pg.Pool, maxOpenConns: number): Promise<Finding> {
  const { rows } = await pool.query<{ limit: number; whose: string }>(
    `SELECT connections AS limit, whose FROM (
       SELECT rolconnlimit, 'the role' FROM pg_roles WHERE rolname = current_user AND NOT rolsuper
       UNION ALL SELECT datconnlimit, 'the database' FROM pg_database, pg_roles
         WHERE datname = current_database() AND rolname = current_user AND NOT rolsuper
       UNION ALL SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int, 'the server'
     ) AS limits (connections, whose) WHERE connections >= 0 ORDER BY connections LIMIT 1`,
  );
  const { limit, whose } = rows[0]!;
  if (limit >= maxOpenConns) {
    return good("connections", `${whose} grants ${limit}, the pool takes up to ${maxOpenConns}`);
  }
  return warn(
    "connections",
    `${whose} grants ${limit}, and the pool may want ${maxOpenConns} in each instance: run starts, but is slower`,
    "raise the CONNECTION LIMIT, or lower NOTIFICATION_POSTGRES_MAX_OPEN_CONNS",
  );
}

/** Whether this role can apply the pending migrations to the existing schema. */
async function mayMigrate(
  pool: pg.Pool,
  { pending, known }: { readonly pending: readonly string[]; readonly known: number },
): Promise<Finding> {
  const { rows } = await pool.query<{ role: string; hasSchema: boolean; mayCreate: boolean; tables: string[] }>(
    `SELECT current_user AS role, to_regnamespace('notification') IS NOT NULL AS "hasSchema",
       CASE WHEN to_regnamespace('notification') IS NULL
         THEN has_database_privilege(current_database(), 'CREATE')
         ELSE has_schema_privilege('notification', 'CREATE') AND has_schema_privilege('notification', 'USAGE') END AS "mayCreate",
       ARRAY(SELECT relname::text FROM pg_class
         WHERE relnamespace = to_regnamespace('notification') AND relname = ANY ($1) ORDER BY relname) AS tables`,
    [TABLES.filter((name) => name !== "goose_db_version")],
  );
  const { role, hasSchema, mayCreate, tables } = rows[0]!;
  const count = `${pending.length} of ${known} pending`;
  if (pending.length === known && tables.length > 0) {
    const there = tables.map((name) => `notification.${name}`).join(", ");
    return bad("migrations", `${count}, but there is ${there}: goose_db_version was lost`, FROM_A_BACKUP);
  }
  if (mayCreate) return good("migrations", `${count}: run applies them`);
  const name = pg.escapeIdentifier(role);
  return hasSchema
    ? bad(
      "migrations",
      `${count}, and role ${role} may not create tables in the schema notification`,
      `have an administrator run GRANT CREATE, USAGE ON SCHEMA notification TO ${name}`,
    )
    : bad(
      "migrations",
      `${count}, and role ${role} may not create the schema`,
      `have an administrator run CREATE SCHEMA notification AUTHORIZATION ${name}`,
    );
}
