/** The results of rounds → lines for the terminal: progress, the final table, and every breach. */
import { median } from "../bench/statistics.ts";
import { paint, table, wrap } from "../demo/table.ts";
import type { Producer } from "./producer.ts";
import { type Breach, BREACHES } from "./facts.ts";
import type { Round } from "./schedule.ts";
import { RECOVERY_SECONDS, type RoundResult } from "./round.ts";

const MAX_BREACHES = 60;
const HEADER = [
  ...["fault", "times", "intents", "lost", "twice", "false dead letters", "wrong", "seconds to recover"],
];

export class Tally {
  readonly #rows = new Map<string, RoundResult[]>();

  add(name: string, result: RoundResult): void {
    this.#rows.set(name, [...this.#rows.get(name) ?? [], result]);
  }

  get breaches(): readonly Breach[] {
    return [...this.#rows.values()].flat().flatMap(({ breaches }) => breaches);
  }

  /** Faults that never had an effect on the service, in all their tries. */
  get withoutEffect(): string[] {
    return [...this.#counts()].filter(([, number]) => number === 0).map(([name]) => name);
  }

  /** How often each fault was injected, alone and together with another one. */
  countLines(): string[] {
    const text = [...this.#counts()].map(([name, number]) => `${name} ${number}`).sort().join(", ");
    return wrap(`Number of times, alone and mixed: ${text}`, 2);
  }

  #counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { times } of [...this.#rows.values()].flat()) {
      for (const [name, number] of Object.entries(times)) counts.set(name, (counts.get(name) ?? 0) + number);
    }
    return counts;
  }

  /** One line for each fault, in the given order, and one line for the total. */
  lines(order: readonly string[]): string[] {
    const names = [...this.#rows.keys()].sort((one, other) => order.indexOf(one) - order.indexOf(other));
    const rows = names.map((name) => row(name, this.#rows.get(name)!));
    return table(HEADER, [...rows, row("all", [...this.#rows.values()].flat())]);
  }
}

function row(name: string, results: readonly RoundResult[]) {
  const breaches = results.flatMap((result) => result.breaches);
  const counts = BREACHES.map((kind) => breaches.filter((breach) => breach.kind === kind).length);
  const seconds = results.map(({ secondsToRecover }) => secondsToRecover).sort((one, other) => one - other);
  const slowest = seconds.at(-1) ?? 0;
  const recovered = `${(seconds.length === 0 ? 0 : median(seconds)).toFixed(2)}, at most ${slowest.toFixed(2)}`;
  return [
    name,
    String(sum(results.flatMap(({ times }) => Object.values(times)))),
    String(sum(results.map(({ intents }) => intents))),
    ...counts.map((count) => count > 0 ? ["red", String(count)] as const : String(count)),
    slowest > RECOVERY_SECONDS ? ["red", recovered] as const : recovered,
  ];
}

export function breachLines(breaches: readonly Breach[]): string[] {
  const lines = breaches.slice(0, MAX_BREACHES).map(({ kind, text }) => `  ${paint("red", kind)}: ${text}`);
  if (breaches.length > MAX_BREACHES) lines.push(`  … and ${breaches.length - MAX_BREACHES} more`);
  return lines;
}

export function progressLine(
  seconds: number,
  playing: string,
  { producer, tally }: { producer: Producer; tally: Tally },
): string {
  const { length } = tally.breaches;
  const breaches = length > 0 ? paint("red", `${length} breaches`) : "no breach";
  return paint("dim", `${time(seconds)} ${playing} …  ${producer.total} intents acknowledged, ${breaches}`);
}

export function roundLines(seconds: number, played: string, result: RoundResult): string[] {
  const { intents, breaches, secondsToRecover, notes } = result;
  const sign = breaches.length === 0 ? paint("green", "✓") : paint("red", "✗");
  const times = Object.values(result.times).filter((number) => number !== 1).map((number) => `${number} times`);
  const facts = [...times, `${intents} intents`, `recovered in ${secondsToRecover.toFixed(2)} s`, ...notes];
  return [`${time(seconds)} ${sign} ${played}: ${facts.join("; ")}`, ...breachLines(breaches)];
}

/** Names the faults and the instances: "kill and users-500 (2 instances, tiny batches)". */
export function describe({ faults, instances, profile }: Round): string {
  const names = faults.map(({ name }) => name).join(" and ");
  const batches = profile === "tiny" ? ", tiny batches" : "";
  return `${names} (${instances} instance${instances === 1 ? "" : "s"}${batches})`;
}

export function lastLogLines(instances: readonly { name: string; lines: readonly string[] }[]): string[] {
  return instances.flatMap(({ name, lines }) => [`Last lines of ${name}:`, ...lines.map((line) => `  ${line}`), ""]);
}

function time(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`.padStart(6);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
