/**
 * A judged batch → PostgreSQL, in one transaction: the place moved, records with their routes, malformed intents.
 *
 * Either all of it is there or nothing. The record that a key has decides which of the batch's intents are duplicates
 * and which are conflicts, also within the batch.
 */
import type pg from "pg";
import { type Intent, type Malformed, malformedIntent } from "../notification/intent.ts";
import type { Channel } from "../notification/route.ts";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";
import { allAnswered, atOnce, inTransaction } from "../postgres/transaction.ts";
import { insertAllOrNone, insertRecords } from "./insert_records.ts";
import { type Candidate, type Judgement, keyOf } from "./judge.ts";
import { insertMalformed, selectMalformed } from "./reject.ts";
import { movePlace, type Place } from "../stream_offset/stream_offset.ts";

export interface Acceptance {
  readonly stream: string;
  readonly from: Place;
  readonly to: Place;
  readonly judgement: Pick<Judgement, "candidates" | "followers" | "rejected">;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
}

export type AcceptanceResult =
  | {
    readonly kind: "done";
    readonly accepted: readonly Candidate[];
    /** By PostgreSQL's clock, Unix milliseconds. */
    readonly acceptedAtMs: string;
    readonly duplicates: readonly Intent[];
    readonly malformed: readonly Malformed[];
  }
  /** Another consumer has moved the place: nothing was changed, what was read is stale. */
  | { readonly kind: "place_moved" }
  /** A key was neither free nor taken, as when retention removes its record meanwhile: nothing was changed. */
  | { readonly kind: "try_again"; readonly keys: readonly string[] };

const MOST_PLAIN = 50;

/** Rolls the transaction back with a result. */
class RolledBack extends Error {
  constructor(readonly result: AcceptanceResult) {
    super("Rolled back");
  }
}

export async function acceptBatch(pool: pg.Pool, acceptance: Acceptance): Promise<AcceptanceResult> {
  const result = isPlain(acceptance) ? await acceptPlainBatch(pool, acceptance) : undefined;
  if (result !== undefined) return result;
  try {
    return await inTransaction(pool, (client) => accept(client, acceptance));
  } catch (error) {
    if (error instanceof RolledBack) return error.result;
    throw error;
  }
}

/** Candidates alone, and so few of them that the round trips count for more than a second look at their keys. */
function isPlain({ judgement: { candidates, followers, rejected } }: Acceptance): boolean {
  return candidates.length > 0 && candidates.length <= MOST_PLAIN && followers.length === 0 && rejected.length === 0;
}

/** One round trip in the place of three, as long as every key is free; nothing was changed where there is no result. */
async function acceptPlainBatch(pool: pg.Pool, acceptance: Acceptance): Promise<AcceptanceResult | undefined> {
  const acceptedAtMs = await atOnce(pool, (client) => insertAllOrNone(client, acceptance));
  if (acceptedAtMs === undefined) return undefined;
  return { kind: "done", accepted: acceptance.judgement.candidates, acceptedAtMs, duplicates: [], malformed: [] };
}

async function accept(client: pg.ClientBase, acceptance: Acceptance): Promise<AcceptanceResult> {
  const { stream, judgement } = acceptance;
  const [moved, { insertedIds, acceptedAtMs }] = await allAnswered([
    movePlace(client, acceptance),
    insertRecords(client, acceptance),
  ]);
  if (!moved) throw new RolledBack({ kind: "place_moved" });

  const accepted = insertedIds === "all"
    ? judgement.candidates
    : judgement.candidates.filter(({ intent }) => insertedIds.has(intent.notificationId));
  const rest = insertedIds === "all"
    ? judgement.followers
    : [...notIn(accepted, judgement.candidates), ...judgement.followers];
  const { duplicates, conflicts } = await tellApart(client, stream, rest, accepted);

  const rejected = [...judgement.rejected, ...conflicts];
  const recordedIds = await insertMalformed(client, stream, rejected);
  const malformed = rejected.filter(({ entry }) => recordedIds.has(entry.id));
  return { kind: "done", accepted, acceptedAtMs, duplicates, malformed };
}

function notIn(accepted: readonly Candidate[], candidates: readonly Candidate[]): Intent[] {
  const taken = new Set(accepted);
  return candidates.filter((candidate) => !taken.has(candidate)).map(({ intent }) => intent);
}

/** Intents whose key has a record, in this batch or from before: the same fingerprint or another. */
async function tellApart(
  client: pg.ClientBase,
  stream: string,
  intents: readonly Intent[],
  accepted: readonly Candidate[],
): Promise<{ duplicates: Intent[]; conflicts: Malformed[] }> {
  const duplicates: Intent[] = [];
  const conflicts: Malformed[] = [];
  if (intents.length === 0) return { duplicates, conflicts };

  const fingerprints = await selectFingerprints(client, intents);
  for (const { intent } of accepted) fingerprints.set(keyOf(intent), intent.fingerprint);
  const unknown = intents.filter((intent) => !fingerprints.has(keyOf(intent)));
  const alreadyMalformed = await selectMalformed(client, stream, unknown.map(({ entry }) => entry.id));
  const unexplained = unknown.filter(({ entry }) => !alreadyMalformed.has(entry.id));
  if (unexplained.length > 0) throw new RolledBack({ kind: "try_again", keys: unexplained.map(keyOf) });

  for (const intent of intents) {
    const fingerprint = fingerprints.get(keyOf(intent));
    if (fingerprint === undefined) continue;
    if (fingerprint === intent.fingerprint) duplicates.push(intent);
    else conflicts.push(malformedIntent(intent, "idempotency_conflict", conflictMessage(intent)));
  }
  return { duplicates, conflicts };
}

function conflictMessage({ idempotencyKey, producer }: Intent): string {
  return `idempotency_key ${JSON.stringify(idempotencyKey.slice(0, 128))} of ${producer} belongs to another request: ` +
    "its type, audience, recipients or payload differ";
}

/** Fingerprints of the records that the intents' keys have, by {@link keyOf}. */
export async function selectFingerprints(
  client: Pick<pg.ClientBase, "query">,
  intents: readonly Intent[],
): Promise<Map<string, string>> {
  if (intents.length === 0) return new Map();
  const { rows } = await client.query<[string, string, string]>({
    rowMode: "array",
    text: `
      SELECT producer, idempotency_key, encode(request_fingerprint, 'hex')
      FROM notification.records
      WHERE (producer, idempotency_key) IN (
        SELECT * FROM unnest(string_to_array($2, $1), string_to_array($3, $1)))`,
    values: [
      SEPARATOR,
      joinColumn(intents.map(({ producer }) => producer)),
      joinColumn(intents.map(({ idempotencyKey }) => idempotencyKey)),
    ],
  });
  return new Map(rows.map(([producer, idempotencyKey, fingerprint]) => [
    keyOf({ producer, idempotencyKey }),
    fingerprint,
  ]));
}
