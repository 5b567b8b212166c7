/**
 * How long the oldest unfinished repair has been open: published entries that Redis lost are then still missing.
 * `docs/contract.md`, section 11.
 */
import type pg from "pg";

const OPEN_REPAIR = `
  SELECT coalesce(greatest(0, extract(epoch FROM now() - min(detected_at)) * 1000), 0)::float8 AS age_ms
  FROM notification.repairs WHERE finished_at IS NULL`;

/** Milliseconds by PostgreSQL's clock; 0 where none is open. */
export async function openRepairAgeMs(client: Pick<pg.ClientBase, "query">): Promise<number> {
  const { rows } = await client.query<{ age_ms: number }>({ name: "open_repair", text: OPEN_REPAIR });
  return Math.floor(rows[0]!.age_ms);
}
