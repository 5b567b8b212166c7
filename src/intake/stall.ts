/** What intake waits for → the outage that is thrown: it names the entry, and the recipient if it is known. */
import { OutageError } from "../lifecycle/outage.ts";
import type { Stall } from "./judge.ts";

/**
 * The User Service does not answer for a recipient. The entries before the stalled one are committed; the offset stays
 * until there is an answer.
 *
 * @param options.progressed whether entries before it were accepted in the same pass
 */
export function outageAt(
  { entryId, recipient, reason, retryAfterMs }: Stall,
  { progressed }: { readonly progressed: boolean },
): OutageError {
  // Redis and PostgreSQL have answered: the entries were read, and their keys were looked up.
  const answered = ["redis", "intent_stream", "postgres"] as const;
  const about = { stream_entry_id: entryId, recipient };
  return new OutageError("user_service", reason, { retryAfterMs, progressed, answered, about });
}

/** The same outage, with the id of the only entry in the batch. */
export function aboutEntry({ dependency, message, cause }: OutageError, entryId: string): OutageError {
  return new OutageError(dependency, message, { about: { stream_entry_id: entryId }, cause });
}
