/**
 * The environment that `env.ts` read → the typed sections of the configuration, or all problems at once: one line for
 * each, with the variable's full name and the form that is expected. The second step of configuration. Pure.
 *
 * No problem or warning repeats a value, so none can contain a secret; secrets in Config print as [redacted].
 */
import { administratorEmailsName, isAdministratorEmailsName, readAdministratorEmails } from "./administrator_emails.ts";
import type { Environment } from "./env.ts";
import { nearestName, shownName } from "./names.ts";
import { brokenRules } from "./rules.ts";
import { readValues } from "./values.ts";
import { deprecatedVariables, fileForm, prefix, type Sections, type Values, variableList } from "./variables.ts";

export interface Config extends Sections {
  /** Addresses by notification type; a type without addresses has no entry. */
  readonly administratorEmails: ReadonlyMap<string, readonly string[]>;
}

export type ConfigResult =
  | { readonly kind: "ok"; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: "refused"; readonly problems: readonly string[]; readonly warnings: readonly string[] };

export interface CatalogFacts {
  /** Types with administrators as an audience; undefined: the catalog is broken, so no name can be compared with it. */
  readonly administratorTypes: readonly string[] | undefined;
}

export function parseConfig(environment: Environment, { administratorTypes }: CatalogFacts): ConfigResult {
  const read = readValues(environment);
  const administrators = readAdministratorEmails(environment, administratorTypes);
  const warnings = [...unknownNames(environment, administratorTypes ?? []), ...administrators.warnings];
  const problems = [...read.problems, ...brokenRules(read.values), ...administrators.problems];
  if (problems.length > 0) return { kind: "refused", problems, warnings };
  // Without problems every variable has its value.
  const config = { ...sectionsOf(read.values as Values), administratorEmails: administrators.addresses };
  return { kind: "ok", config, warnings };
}

function unknownNames(environment: Environment, administratorTypes: readonly string[]): string[] {
  const known = [
    ...variableList.flatMap(([name, { secret }]) => secret ? [name, fileForm(name)] : [name]).map((name) =>
      prefix + name
    ),
    ...administratorTypes.map(administratorEmailsName),
  ];
  const dealtWith = new Set([...known, ...Object.keys(deprecatedVariables).map((name) => prefix + name)]);
  return Object.keys(environment.variables)
    .filter((name) => !dealtWith.has(name) && !isAdministratorEmailsName(name))
    .map(shownName)
    .map((name) => `${name} is not a known variable; the nearest known name is ${nearestName(name, known)}`);
}

/** Puts each value in its place. */
function sectionsOf(values: Values): Sections {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const [name, { place }] of variableList) {
    const [section = "", field] = place.split(".");
    Object.assign(sections[section] ??= {}, field === undefined ? values[name] : { [field]: values[name] });
  }
  // The type Sections puts them in the same places.
  return sections as unknown as Sections;
}
