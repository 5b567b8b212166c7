/**
 * The lines of one instance's log → the dependencies that it reports as out, and errors in the reports: an outage is
 * reported once when it begins and once, with its length, when it is over.
 */

const BEGINS = '"message":"dependency is unavailable"';
const ENDS = '"message":"dependency is available again"';

export class ReportedOutages {
  readonly #now = new Set<string>();
  /** Called with each dependency that is reported to be out. */
  readonly #onOutage: (dependency: string) => void;

  constructor(onOutage: (dependency: string) => void) {
    this.#onOutage = onOutage;
  }

  /** Returns what is wrong with the line, if anything. */
  hear(line: string): string | undefined {
    if (line.includes(BEGINS)) {
      const dependency = String(JSON.parse(line).dependency);
      this.#onOutage(dependency);
      if (this.#now.has(dependency)) return `logged twice that ${dependency} is out`;
      this.#now.add(dependency);
    } else if (line.includes(ENDS)) {
      const { dependency, outage_ms: outageMs } = JSON.parse(line);
      if (!this.#now.delete(dependency)) return `logged that ${dependency} is back, which was not out`;
      if (!(outageMs >= 0)) return `logged that ${dependency} is back after ${outageMs} ms`;
    }
    return undefined;
  }
}
