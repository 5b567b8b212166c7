// Names of variables: the known ones, those that are not, and which known one a mistyped name is nearest to.
// Only names are looked at, and of a name only as much is shown as can be one: a badly written env file may run
// a value on into it.

/** The candidate with the smallest edit distance, the first among equals; undefined without candidates. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/** The name up to the first character that no shell or unit file would take in one, at most 120 characters of it. */
export function shownName(name: string): string {
  const shown = /^[A-Za-z0-9_.-]{0,120}/.exec(name)?.[0] ?? "";
  return shown === name ? name : `${shown}…`;
}

/** Levenshtein's: insertions, deletions and substitutions that turn one text into the other. */
export function editDistance(from: string, to: string): number {
  const target = from.length < to.length ? from : to;
  const source = target === from ? to : from;
  let row = Array.from({ length: target.length + 1 }, (_, column) => column);
  for (let line = 1; line <= source.length; line++) {
    const next = [line];
    for (let column = 1; column <= target.length; column++) {
      const substituted = at(row, column - 1) + (source[line - 1] === target[column - 1] ? 0 : 1);
      next.push(Math.min(substituted, at(row, column) + 1, at(next, column - 1) + 1));
    }
    row = next;
  }
  return at(row, target.length);
}

const at = (row: readonly number[], column: number): number => row[column] ?? Infinity;
