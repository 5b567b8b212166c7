/** An entry that PostgreSQL refuses for its data → the malformed intent that it becomes. */
import { OutageError } from "../lifecycle/outage.ts";
import { type Malformed, malformedIntent } from "../notification/intent.ts";
import { describePostgresError } from "../postgres/failures.ts";
import type { Decoded } from "./judge.ts";

/**
 * A malformed intent with less to store than `item`: an intent becomes malformed, a malformed intent loses its fields.
 * @throws OutageError when there is nothing left to leave out: an operator has to remove a constraint on the table
 */
export function refused(item: Decoded, error: unknown): Malformed {
  const reason = describePostgresError(error);
  if (item.kind === "intent") return malformedIntent(item, "invalid_fields", `PostgreSQL refused it: ${reason}`);
  if (item.isWithoutFields) throw new OutageError("postgres", `entry ${item.entry.id}: ${reason}`);
  const message = `${item.message}; PostgreSQL refused its fields: ${reason}`;
  return { ...item, message, notificationType: "", producer: "", idempotencyKey: "", isWithoutFields: true };
}
