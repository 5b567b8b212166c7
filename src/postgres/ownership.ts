/**
 * The role's rights → nothing, or an error that names each table and its owner.
 *
 * A role counts as owner as in the server: directly, or by inheriting from the owning role. A member that does not
 * inherit (NOINHERIT) would have to call SET ROLE first, which this service never does.
 */
import type pg from "pg";
import { SchemaError } from "./schema_error.ts";

/** All tables that the migrations create, and goose's own table. */
export const TABLES = [
  "records",
  "routes",
  "dead_letters",
  "malformed_intents",
  "stream_offsets",
  "repairs",
  "goose_db_version",
] as const;

export interface OwnershipOptions {
  /** `allowed` before the migrations have created the tables. */
  readonly missing?: "refused" | "allowed";
}

/**
 * Reads only catalogs, so that it needs no rights.
 * @throws SchemaError
 */
export async function checkOwnership(
  client: Pick<pg.ClientBase, "query">,
  { missing = "refused" }: OwnershipOptions = {},
): Promise<void> {
  const { rows } = await client.query<{ table: string; owner: string | null; role: string; owns: boolean | null }>(
    `SELECT 'notification.' || wanted.name AS table, pg_get_userbyid(relowner) AS owner, current_user AS role,
       pg_has_role(relowner, 'USAGE') AS owns
     FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
     LEFT JOIN pg_class ON relname = wanted.name AND relkind IN ('r', 'p')
       AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'notification')
     ORDER BY place`,
    [TABLES],
  );
  const absent = rows.filter(({ owner }) => owner === null).map(({ table }) => table);
  if (missing === "refused" && absent.length > 0) throw new SchemaError(`There is no table ${absent.join(", ")}`);

  const foreign = rows.filter(({ owns }) => owns === false);
  if (foreign.length === 0) return;
  const owners = foreign.map(({ table, owner }) => `${table} is owned by ${owner}`).join(", ");
  throw new SchemaError(
    `Role ${foreign[0]!.role} must own the tables, directly or by inheriting from their owner: ${owners}`,
  );
}
