/**
 * Names of variables and commands: which known one a mistyped name is nearest to, and how much of a strange one is
 * shown.
 *
 * Only names are looked at, and of a name only as much is shown as can be one: a badly written env file may run a value
 * on into it.
 */
import { closest } from "fastest-levenshtein";

/** The candidate with the smallest edit distance, the first among equals; undefined without candidates. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  return candidates.length === 0 ? undefined : closest(name, candidates);
}

/** The name up to the first character that no shell or unit file would take in one, at most 120 characters of it. */
export function shownName(name: string): string {
  const shown = /^[A-Za-z0-9_.-]{0,120}/.exec(name)?.[0] ?? "";
  return shown === name ? name : `${shown}…`;
}
