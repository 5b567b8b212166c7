/** Decoded entries → what the User Service and the records say about them: all that judging needs. */
import type pg from "pg";
import type { Intent } from "../notification/intent.ts";
import { isAtOrBefore } from "../redis/entry_ids.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";
import { type Decoded, intentsWithProblems, keyOf, type Known } from "./judge.ts";
import type { Recipients } from "./recipients.ts";
import { selectFingerprints } from "./select_fingerprints.ts";

export interface FindKnownOptions {
  readonly recipients: Recipients;
  /** Entries up to this one were read before. */
  readonly readBefore: Pick<Offset, "entryId"> | undefined;
  readonly postgres: pg.Pool;
  /** Aborts the look-ups. */
  readonly abandon: AbortSignal;
}

/**
 * Looks up the keys of two kinds of intents only: those that were read before, so that their recipients need no look-up
 * if they have a record, and those with a recipient who was not found, since a duplicate is a duplicate whatever its
 * recipients are.
 */
export async function findKnown(
  decoded: readonly Decoded[],
  { recipients, readBefore, postgres, abandon }: FindKnownOptions,
): Promise<Pick<Known, "answers" | "recordedKeys">> {
  const intents = decoded.filter((item): item is Intent => item.kind === "intent");
  const recordedBefore = await recordedKeysOf(
    postgres,
    intents.filter(({ entry }) => wasReadBefore(entry, readBefore)),
  );
  const others = intents.filter((intent) => !recordedBefore.has(keyOf(intent)));
  const answers = await recipients.find(others, abandon);
  const recorded = await recordedKeysOf(postgres, intentsWithProblems(others, answers));
  return { answers, recordedKeys: recordedBefore.union(recorded) };
}

/** Whether the entry is at or before the offset up to which the stream was read before. */
export function wasReadBefore({ id }: { readonly id: string }, readBefore: { readonly entryId: string } | undefined) {
  return readBefore !== undefined && isAtOrBefore(id, readBefore.entryId);
}

async function recordedKeysOf(postgres: pg.Pool, intents: readonly Intent[]): Promise<Set<string>> {
  return new Set((await selectFingerprints(postgres, intents)).keys());
}
