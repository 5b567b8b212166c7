/**
 * The ADMIN_EMAILS_<TYPE> variables and the catalog's administrator types → the addresses of each type, and one line
 * for each invalid variable.
 *
 * Addresses are in lower case and without duplicates, in the order given; a type without addresses is not in the map.
 * A message names the position of an invalid address, never the address itself.
 */
import { parseEmailAddress } from "./addresses.ts";
import type { Environment } from "./env.ts";
import { nearestName, shownName } from "./names.ts";
import { administratorEmails, prefix } from "./variables.ts";

export interface AdministratorEmails {
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

const stem = prefix + administratorEmails.stem;

export const isAdministratorEmailsName = (fullName: string): boolean => fullName.startsWith(stem);

/** The full name of the variable that holds a notification type's administrators. */
export const administratorEmailsName = (type: string): string => stem + type.toUpperCase().replaceAll(/[.:-]/g, "_");

/** Without `types` (the catalog is broken) the addresses are still checked, but not whether their type exists. */
export function readAdministratorEmails(
  environment: Environment,
  types: readonly string[] | undefined,
): AdministratorEmails {
  const addresses = new Map<string, readonly string[]>();
  const [problems, warnings]: [string[], string[]] = [[], []];
  const typesByName = Map.groupBy(types ?? [], administratorEmailsName);
  for (const name of typesByName.keys()) {
    if (environment.notUtf8.includes(name)) problems.push(`${name} should be UTF-8 text`);
  }
  for (const [name, text] of Object.entries(environment.variables)) {
    if (!isAdministratorEmailsName(name)) continue;
    const itsTypes = typesByName.get(name) ?? [];
    if (types !== undefined && itsTypes.length === 0) problems.push(noSuchType(name, [...typesByName.keys()]));
    if (text === "") continue;

    const list = parseList(text);
    if (list.kind === "refused") {
      problems.push(`${shownName(name)} should be ${administratorEmails.expected}; ${list.reason}`);
      continue;
    }
    for (const type of itsTypes) addresses.set(type, list.addresses);
    if (itsTypes.length > 1) warnings.push(`${name} counts for several notification types: ${itsTypes.join(", ")}`);
  }
  return { addresses, problems, warnings };
}

function noSuchType(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const advice = nearest === undefined ? "the catalog has none" : `the nearest known name is ${nearest}`;
  return `${shownName(name)} should name a notification type with administrators as an audience; ${advice}`;
}

function parseList(text: string):
  | { readonly kind: "ok"; readonly addresses: readonly string[] }
  | { readonly kind: "refused"; readonly reason: string } {
  const items = text.split(",");
  const addresses = items.map(parseEmailAddress);
  const wrong = addresses.indexOf(undefined);
  if (wrong >= 0) return { kind: "refused", reason: `number ${wrong + 1} of ${items.length} is not one` };
  return { kind: "ok", addresses: [...new Set(addresses.filter((address) => address !== undefined))] };
}
