/** Decoded entries → what the User Service and the records say about them: all that judging needs. */
import type pg from "pg";
import type { Intent } from "../notification/intent.ts";
import { type Decoded, intentsWithProblems, type Known } from "./judge.ts";
import type { Recipients } from "./recipients.ts";
import { selectFingerprints } from "./select_fingerprints.ts";

export interface FindKnownOptions {
  readonly recipients: Recipients;
  readonly postgres: pg.Pool;
  /** Cuts the look-ups. */
  readonly abandon: AbortSignal;
}

/** Keys are looked up for the intents alone whose recipients are a problem: a duplicate is one whatever its recipients are. */
export async function findKnown(
  decoded: readonly Decoded[],
  { recipients, postgres, abandon }: FindKnownOptions,
): Promise<Pick<Known, "answers" | "recordedKeys">> {
  const intents = decoded.filter((item): item is Intent => item.kind === "intent");
  const answers = await recipients.find(intents, abandon);
  const recordedKeys = new Set((await selectFingerprints(postgres, intentsWithProblems(intents, answers))).keys());
  return { answers, recordedKeys };
}
