/** What intake waits for → a member of `--json`, and readable words. */
import { type IntakeStall, stallText } from "../backlog/intake_stall.ts";
import type { IntentBacklog } from "../backlog/intent_backlog.ts";
import { duration } from "./time_words.ts";

export interface WaitsFor {
  /** The entry at which intake waits; null if it can't read an entry. */
  readonly entry_id: string | null;
  readonly recipient: string | null;
  readonly dependency: string;
  readonly reason: string;
  readonly stalled_ms: number;
}

/** Null if intake does not wait. */
export function waitsForOf(backlog: Pick<IntentBacklog, "stall" | "stalledMs"> | undefined): WaitsFor | null {
  if (backlog?.stall === undefined) return null;
  const { entryId = null, recipient = null, dependency, reason } = backlog.stall;
  return { entry_id: entryId, recipient, dependency, reason, stalled_ms: backlog.stalledMs };
}

export function waitsForText({ entry_id, recipient, dependency, reason, stalled_ms }: WaitsFor): string {
  const stall: IntakeStall = {
    dependency,
    reason,
    entryId: entry_id ?? undefined,
    recipient: recipient ?? undefined,
  };
  return `${stallText(stall)}, for ${duration(stalled_ms)}`;
}
