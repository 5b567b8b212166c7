/**
 * A judged batch → PostgreSQL, in one transaction: the offset moved, records with their routes, malformed intents.
 * Either all of it is committed or nothing.
 *
 * Usually every intent is new, and one statement accepts the batch. If that statement finds a key or an entry that is
 * known, it changes nothing: the batch is then sorted into new intents, duplicates and conflicts by the records that
 * have the keys, and accepted in one transaction.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { type Intent, type Malformed, malformedIntent } from "../notification/intent.ts";
import { allAnswered, atOnce, inTransaction } from "../postgres/transaction.ts";
import { insertIntents, type InsertResult, type NewIntents } from "./insert_intents.ts";
import { type Candidate, type Judgement, keyOf } from "./judge.ts";
import { malformedBefore } from "./malformed_before.ts";
import { insertMalformed } from "./reject.ts";
import { selectFingerprints } from "./select_fingerprints.ts";

export interface Acceptance extends Omit<NewIntents, "candidates"> {
  readonly judgement: Pick<Judgement, "candidates" | "followers" | "rejected">;
}

export type AcceptanceResult =
  | {
    readonly kind: "done";
    readonly accepted: readonly Candidate[];
    /** By PostgreSQL's clock, Unix milliseconds. */
    readonly acceptedAtMs: string;
    /** The routes' `next_attempt_at`, as PostgreSQL writes it. */
    readonly claimedUntil: string;
    readonly duplicates: readonly Intent[];
    readonly malformed: readonly Malformed[];
  }
  /** Another consumer has moved the offset: nothing was changed, the batch is out of date. */
  | { readonly kind: "offset_moved" }
  /** A record was inserted or deleted between the look at its key and the insertion: nothing was changed. */
  | { readonly kind: "try_again" };

const UNIQUE_VIOLATION = "23505";

export async function acceptBatch(pool: pg.Pool, acceptance: Acceptance): Promise<AcceptanceResult> {
  const { judgement, ...move } = acceptance;
  const { candidates, followers, rejected } = judgement;
  if (followers.length === 0 && rejected.length === 0) {
    const result = await unlessTaken(atOnce(pool, (client) => insertIntents(client, { ...move, candidates })));
    if (result.kind === "offset_moved") return result;
    if (result.kind === "inserted") {
      return { ...result, kind: "done", accepted: candidates, duplicates: [], malformed: [] };
    }
  }
  return await acceptSorted(pool, acceptance);
}

/** The consumer of another stream may insert a record with the same key after the key was looked up. */
async function unlessTaken(accepting: Promise<InsertResult>): Promise<InsertResult> {
  try {
    return await accepting;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === UNIQUE_VIOLATION) return { kind: "not_all_new" };
    throw error;
  }
}

async function acceptSorted(pool: pg.Pool, { judgement, ...move }: Acceptance): Promise<AcceptanceResult> {
  const sorted = await sortOut(pool, move.stream, judgement);
  if (sorted === undefined) return { kind: "try_again" };
  const { accepted, duplicates, conflicts } = sorted;
  const rejected = [...judgement.rejected, ...conflicts];
  let recorded: ReadonlySet<string> = new Set();
  const result = await unlessTaken(inTransaction(pool, async (client) => {
    const [result, ids] = await allAnswered([
      insertIntents(client, { ...move, candidates: accepted }),
      insertMalformed(client, move.stream, rejected),
    ]);
    if (result.kind !== "inserted") throw new RolledBack(result);
    recorded = ids;
    return result;
  })).catch((error) => {
    if (error instanceof RolledBack) return error.result;
    throw error;
  });
  switch (result.kind) {
    case "inserted":
      return {
        ...result,
        kind: "done",
        accepted,
        duplicates,
        malformed: rejected.filter(({ entry }) => recorded.has(entry.id)),
      };
    case "offset_moved":
      return result;
    case "not_all_new":
      return { kind: "try_again" };
    default:
      return result satisfies never;
  }
}

/** Rolls the transaction back and carries the result out of it. */
class RolledBack extends Error {
  constructor(readonly result: Exclude<InsertResult, { kind: "inserted" }>) {
    super("Rolled back");
  }
}

interface SortedOut {
  readonly accepted: readonly Candidate[];
  readonly duplicates: readonly Intent[];
  readonly conflicts: readonly Malformed[];
}

/**
 * Decides by the records of the keys which intents are accepted, duplicates or conflicts. An entry that is already
 * recorded as malformed keeps that outcome when it is read again. Returns `undefined` if a record was deleted since the
 * batch was judged.
 */
async function sortOut(
  pool: pg.Pool,
  stream: string,
  { candidates, followers }: Acceptance["judgement"],
): Promise<SortedOut | undefined> {
  const intents = [...candidates.map(({ intent }) => intent), ...followers];
  const [fingerprints, malformed] = await Promise.all([
    selectFingerprints(pool, intents),
    malformedBefore(pool, stream, intents),
  ]);
  const accepted = candidates.filter(({ intent }) =>
    !fingerprints.has(keyOf(intent)) && !malformed.has(intent.entry.id)
  );
  const isNew = new Set(accepted.map(({ intent }) => intent));
  for (const { intent } of accepted) fingerprints.set(keyOf(intent), intent.fingerprint);
  const duplicates: Intent[] = [];
  const conflicts: Malformed[] = [];
  for (const intent of intents) {
    if (isNew.has(intent)) continue;
    const fingerprint = fingerprints.get(keyOf(intent));
    if (fingerprint === intent.fingerprint) duplicates.push(intent);
    else if (fingerprint !== undefined) {
      conflicts.push(malformedIntent(intent, "idempotency_conflict", conflictMessage(intent)));
    } else if (!malformed.has(intent.entry.id)) return undefined;
  }
  return { accepted, duplicates, conflicts };
}

function conflictMessage({ idempotencyKey, producer }: Intent): string {
  return `idempotency_key ${JSON.stringify(idempotencyKey.slice(0, 128))} of ${producer} belongs to another request: ` +
    "its type, audience, recipients or payload differ";
}
