/** An entry that PostgreSQL refuses for its data → the malformed intent that it becomes. */
import { OutageError } from "../lifecycle/outage.ts";
import { type Malformed, malformedIntent } from "../notification/intent.ts";
import { describePostgresError } from "../postgres/failures.ts";
import type { Decoded } from "./judge.ts";

/**
 * A malformed intent that can be stored more surely than `item`: an intent with the reason, a malformed one without its fields.
 * @throws OutageError when nothing can be left out any more: a constraint on the table, which an operator has to remove
 */
export function refused(item: Decoded, error: unknown): Malformed {
  const reason = describePostgresError(error);
  if (item.kind === "intent") return malformedIntent(item, "invalid_fields", `PostgreSQL refused it: ${reason}`);
  if (item.isWithoutFields) throw new OutageError("postgres", `entry ${item.entry.id}: ${reason}`);
  const message = `${item.message}; PostgreSQL refused its fields: ${reason}`;
  return { ...item, message, notificationType: "", producer: "", idempotencyKey: "", isWithoutFields: true };
}
