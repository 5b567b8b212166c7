/** Whether the role owns the tables that it works with, itself or through a role that it is a member of. */
import type pg from "pg";
import { SchemaError } from "./migrate.ts";

/** @throws SchemaError naming the tables and their owners */
export async function checkOwnership(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ table: string; owner: string; role: string }>(`
    SELECT 'notification.' || relname AS table, pg_get_userbyid(relowner) AS owner, current_user AS role
    FROM pg_class
    WHERE relnamespace = to_regnamespace('notification') AND relkind IN ('r', 'p')
      AND relname IN ('records', 'routes', 'dead_letters', 'malformed_intents', 'stream_offsets', 'goose_db_version')
      AND NOT pg_has_role(relowner, 'USAGE')
    ORDER BY relname`);
  if (rows.length === 0) return;
  const tables = rows.map(({ table, owner }) => `${table} belongs to ${owner}`).join(", ");
  throw new SchemaError(`Role ${rows[0]!.role} must own the tables it works with: ${tables}`);
}
