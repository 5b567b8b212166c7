/** Routes → what is handed off for each, and why a record's routes can't be encoded any more. Pure; contract, section 7. */
import type { Catalog } from "../notification/catalog.ts";
import { clientEvent } from "../notification/client_event.ts";
import { mailCommand } from "../notification/mail_command.ts";
import type { Channel, DueRoute, StoredRecord } from "../notification/route.ts";
import { type Delivery, leaseKeyOf } from "./hand_off.ts";

/** By record, why its routes can't be encoded; nothing where they can. */
export type Problems = ReadonlyMap<StoredRecord, string | undefined>;

/** One delivery for each route; one that can't be encoded only asks whether it was published before. */
export function deliveriesOf(routes: readonly DueRoute[], channel: Channel, problems?: Problems): Delivery[] {
  const encode = channel === "push" ? clientEvent : mailCommand;
  return routes.map((route) => ({
    leaseKey: leaseKeyOf(route.record.notificationId, route.routeId),
    fields: problems?.get(route.record) === undefined ? encode(route) : [],
  }));
}

/** A stored payload is held against the catalog as it is now, once a record. */
export function encodingProblems(routes: readonly DueRoute[], catalog: Catalog): Problems {
  const records = new Set(routes.map(({ record }) => record));
  return new Map([...records].map((record) => [record, encodingProblem(record, catalog)]));
}

function encodingProblem({ notificationType, payload }: StoredRecord, catalog: Catalog): string | undefined {
  if (notificationType === "") return "the route's record is gone";
  const type = catalog.get(notificationType);
  if (type === undefined) return `notification type ${notificationType} is not in the catalog any more`;
  try {
    const problem = type.payloadProblem(JSON.parse(payload));
    return problem && `the payload does not match the type's schema any more: ${problem}`;
  } catch (error) {
    return `the stored payload is not JSON: ${(error as Error).message}`;
  }
}
