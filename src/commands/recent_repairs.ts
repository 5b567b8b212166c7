/**
 * The repairs that `status` shows: every open one, and those that were finished within a day (docs/contract.md, section
 * 11).
 *
 * A repair: Redis has lost entries of an outbound stream; their routes are published again, or counted.
 */
import type pg from "pg";
import { repairState } from "./inspect_lines.ts";
import type { RepairRow } from "./inspect_rows.ts";
import { table } from "./terminal.ts";
import { relative } from "./time_words.ts";

export type RecentRepair = Pick<RepairRow, "stream" | "routes" | "detected_at" | "finished_at">;

/** The number that fits a page; `inspect repairs` shows all. */
const MAX_SHOWN = 10;

export async function readRecentRepairs(postgres: pg.Pool): Promise<readonly RecentRepair[]> {
  const { rows } = await postgres.query<RecentRepair>(
    `SELECT stream, routes::float8 AS routes, detected_at, finished_at FROM notification.repairs
     WHERE finished_at IS NULL OR finished_at > now() - interval '1 day'
     ORDER BY finished_at IS NULL DESC, detected_at DESC, stream LIMIT ${MAX_SHOWN}`,
  );
  return rows;
}

export function recentRepairLines(repairs: readonly RecentRepair[], nowMs: number): string[] {
  return table(
    ["DETECTED", "ROUTES", "STATE", "REDIS LOST ENTRIES OF"],
    repairs.map((repair) => [
      relative(repair.detected_at, nowMs),
      String(repair.routes),
      repairState(repair),
      repair.stream,
    ]),
  );
}
