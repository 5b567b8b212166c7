/** Fields of an intent's entry, as they are or missing → those that are there, once a catalog allows them. Pure. */
import type { Catalog } from "../notification/catalog.ts";
import { checkIntent } from "../notification/check_intent.ts";
import { IntentRefused } from "./intent_refused.ts";

/**
 * The fields that are there, in their order, once `catalog` allows them.
 * @throws IntentRefused
 */
export function checkedFields(fields: Readonly<Record<string, string | undefined>>, catalog: Catalog): string[] {
  const flat = Object.entries(fields).flatMap(([name, value]) => value === undefined ? [] : [name, value]);
  const checked = checkIntent({ id: "0-1", fields: flat }, catalog);
  if (checked.kind === "malformed") throw new IntentRefused(checked.code, checked.message);
  return flat;
}
