/** The fields of an intent's entry, some of them `undefined` → those that are set, checked by a catalog. Pure. */
import type { Catalog } from "../notification/catalog.ts";
import { checkIntent } from "../notification/check_intent.ts";
import { IntentRefused } from "./intent_refused.ts";

/**
 * The fields that are set, in their order, if `catalog` allows them.
 * @throws IntentRefused
 */
export function checkedFields(fields: Readonly<Record<string, string | undefined>>, catalog: Catalog): string[] {
  const flat = Object.entries(fields).flatMap(([name, value]) => value === undefined ? [] : [name, value]);
  const checked = checkIntent({ id: "0-1", fields: flat }, catalog);
  if (checked.kind === "malformed") throw new IntentRefused(checked.code, checked.message);
  return flat;
}
