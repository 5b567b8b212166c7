/**
 * The log lines of one instance → the dependencies that it reports as unavailable, and errors in these reports: each
 * outage has to be reported once at its beginning, and once with its duration at its end.
 */

const BEGINS = '"message":"dependency is unavailable"';
const ENDS = '"message":"dependency is available again"';

export class ReportedOutages {
  readonly #unavailable = new Set<string>();
  /** Called with each dependency that is reported as unavailable. */
  readonly #onOutage: (dependency: string) => void;

  constructor(onOutage: (dependency: string) => void) {
    this.#onOutage = onOutage;
  }

  /** Returns what is wrong with the report in this line, or `undefined`. */
  check(line: string): string | undefined {
    if (line.includes(BEGINS)) {
      const dependency = String(JSON.parse(line).dependency);
      this.#onOutage(dependency);
      if (this.#unavailable.has(dependency)) return `logged twice that ${dependency} is unavailable`;
      this.#unavailable.add(dependency);
    } else if (line.includes(ENDS)) {
      const { dependency, outage_ms: outageMs } = JSON.parse(line);
      if (!this.#unavailable.delete(dependency)) {
        return `logged that ${dependency} is available again, which was not unavailable`;
      }
      if (!(outageMs >= 0)) return `logged that ${dependency} is available again after ${outageMs} ms`;
    }
    return undefined;
  }
}
