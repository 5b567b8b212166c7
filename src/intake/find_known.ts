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
  /** Up to here entries were read before. */
  readonly readBefore: Pick<Offset, "entryId"> | undefined;
  readonly postgres: pg.Pool;
  /** Cuts the look-ups. */
  readonly abandon: AbortSignal;
}

/**
 * Keys are looked up for those intents alone that were read before, whose recipients then need no look-up, and for those whose
 * recipients are a problem: a duplicate is one whatever its recipients are.
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

/** Whether the entry is at or before the offset that the stream was read up to before. */
export function wasReadBefore({ id }: { readonly id: string }, readBefore: { readonly entryId: string } | undefined) {
  return readBefore !== undefined && isAtOrBefore(id, readBefore.entryId);
}

async function recordedKeysOf(postgres: pg.Pool, intents: readonly Intent[]): Promise<Set<string>> {
  return new Set((await selectFingerprints(postgres, intents)).keys());
}
