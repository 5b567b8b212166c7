/**
 * The process's environment → configuration and catalog, or every problem with them. `run` and all commands read them
 * here.
 */
import { administratorEmailsName } from "../config/administrator_emails.ts";
import { type Config, parseConfig } from "../config/config.ts";
import { catalogText, type Environment, readEnvironment, withNames } from "../config/env.ts";
import { administratorTypes, type Catalog, embeddedCatalog, loadCatalog } from "../notification/catalog.ts";
import { COMMAND_EXIT, CommandFailed, printError } from "./command.ts";

export type Settings =
  | { readonly kind: "ok"; readonly config: Config; readonly catalog: Catalog; readonly warnings: readonly string[] }
  | { readonly kind: "refused"; readonly problems: readonly string[]; readonly warnings: readonly string[] };

export function readSettings(environment: Environment = readEnvironment()): Settings {
  const { catalog, problems: catalogProblems } = readCatalog(environment);
  const types = catalog === undefined ? undefined : administratorTypes(catalog);
  const parsed = parseConfig(withNames(environment, (types ?? []).map(administratorEmailsName)), {
    administratorTypes: types,
  });
  if (parsed.kind === "refused" || catalog === undefined) {
    const problems = parsed.kind === "refused" ? parsed.problems : [];
    return { kind: "refused", problems: [...problems, ...catalogProblems], warnings: parsed.warnings };
  }
  return { kind: "ok", config: parsed.config, catalog, warnings: parsed.warnings };
}

/** A file that can't be read is reported by parseConfig(). */
export function readCatalog(
  environment: Environment = readEnvironment(),
): { readonly catalog: Catalog | undefined; readonly problems: readonly string[] } {
  const source = catalogText(environment);
  switch (source.kind) {
    case "embedded":
      return { catalog: embeddedCatalog(), problems: [] };
    case "unreadable":
      return { catalog: undefined, problems: [] };
    case "file": {
      const loaded = loadCatalog(source.text);
      return loaded.kind === "ok"
        ? { catalog: loaded.catalog, problems: [] }
        : { catalog: undefined, problems: loaded.problems.map((problem) => `NOTIFICATION_CATALOG_FILE: ${problem}`) };
    }
    default:
      return source satisfies never;
  }
}

/** For commands other than `run` and `check`. @throws CommandFailed with every problem */
export function settingsOrFail(): Extract<Settings, { kind: "ok" }> {
  const settings = readSettings();
  for (const warning of settings.warnings) printError(`warning: ${warning}`);
  if (settings.kind === "ok") return settings;
  throw new CommandFailed(
    COMMAND_EXIT.configuration,
    ["the configuration was refused", ...settings.problems].join("\n"),
  );
}
