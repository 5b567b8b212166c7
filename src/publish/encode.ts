/**
 * Routes → one delivery each, or the reason why a stored record can no longer be encoded. Pure; docs/contract.md,
 * section 7.
 */
import type { Catalog } from "../notification/catalog.ts";
import { clientEvent } from "../notification/client_event.ts";
import { mailCommand } from "../notification/mail_command.ts";
import type { Channel, ClaimedRoute, EncodingProblem, StoredRecord } from "../notification/route.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import type { Delivery } from "./hand_off.ts";

/** One delivery for each route; one that can't be encoded only asks whether the route was published before. */
export function deliveriesOf(routes: readonly ClaimedRoute[], channel: Channel): Delivery[] {
  const encode = channel === "push" ? clientEvent : mailCommand;
  return routes.map((route) => ({
    leaseKey: routeLeaseKey(route.record.notificationId, route.routeId),
    fields: route.record.problem === undefined ? encode(route) : [],
  }));
}

/** A record as it was read, compared with the catalog as it is now. */
export function withProblem(record: StoredRecord, catalog: Catalog): StoredRecord {
  const problem = encodingProblem(record, catalog);
  return problem === undefined ? record : { ...record, problem };
}

function encodingProblem({ notificationType, payload }: StoredRecord, catalog: Catalog): EncodingProblem | undefined {
  const unusable = (message: string) => ({ kind: "unusable" as const, message });
  if (notificationType === "") return unusable("the route's record does not exist any more");
  const type = catalog.get(notificationType);
  if (type === undefined) {
    return { kind: "unknown_type", message: `notification type ${notificationType} is not in the catalog` };
  }
  try {
    const problem = type.payloadProblem(JSON.parse(payload));
    return problem === undefined ? undefined : unusable(`the payload no longer matches the type's schema: ${problem}`);
  } catch (error) {
    return unusable(`the stored payload is not JSON: ${(error as Error).message}`);
  }
}
