/**
 * Judged entries → their outcomes, or what to do instead. An entry that PostgreSQL refuses for its data becomes
 * malformed. If several entries are refused together, the caller reads fewer, until the one at fault is alone.
 */
import type pg from "pg";
import { OutageError } from "../lifecycle/outage.ts";
import { postgresFailure } from "../postgres/failures.ts";
import { type Acceptance, type AcceptanceResult, acceptBatch } from "./accept.ts";
import type { Decoded } from "./judge.ts";
import { refused } from "./refuse.ts";

export type Done = Extract<AcceptanceResult, { kind: "done" }>;

export type AcceptOrRefuseResult =
  | Done
  /** Another consumer has moved the offset: nothing was changed. */
  | { readonly kind: "offset_moved" }
  /** PostgreSQL does not accept these entries together: nothing was changed, the caller reads fewer of them. */
  | { readonly kind: "too_many" };

/** @throws OutageError when a single entry can't be accepted now and has to wait */
export async function acceptOrRefuse(
  pool: pg.Pool,
  acceptance: Acceptance,
  entries: readonly Decoded[],
): Promise<AcceptOrRefuseResult> {
  let result: AcceptanceResult;
  try {
    result = await acceptBatch(pool, acceptance);
  } catch (error) {
    if (postgresFailure(error) !== "data") throw error;
    if (entries.length > 1) return { kind: "too_many" };
    const rejected = refused(entries[0]!, error);
    const judgement = { candidates: [], followers: [], rejected: [rejected] };
    return await acceptOrRefuse(pool, { ...acceptance, judgement }, [rejected]);
  }
  if (result.kind !== "try_again") return result;
  if (entries.length > 1) return { kind: "too_many" };
  throw new OutageError("postgres", "a record was inserted or deleted while its key was looked at");
}
