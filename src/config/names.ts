/**
 * A mistyped name of a variable or command → the nearest known name, and the part of the mistyped name that a message
 * may show. Pure.
 *
 * The shown part ends before the first character that can't be part of a name: in a malformed environment file, the name
 * can be followed directly by a value, which may be a secret.
 */
import { closest } from "fastest-levenshtein";

/** The candidate with the smallest edit distance, the first one if several have it; `undefined` without candidates. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  return candidates.length === 0 ? undefined : closest(name, candidates);
}

/** The name up to the first character that no shell or unit file allows in a name, at most 120 characters. */
export function shownName(name: string): string {
  const shown = /^[A-Za-z0-9_.-]{0,120}/.exec(name)?.[0] ?? "";
  return shown === name ? name : `${shown}…`;
}
