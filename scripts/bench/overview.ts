/** The results of a run → the first table, which summarises each subject in one line. Pure. */
import { ms, ratio, whole } from "./cells.ts";
import { inAll } from "./cpu.ts";
import type { Section } from "./section.ts";
import type { LatencySubject, Results } from "./results.ts";
import { median } from "./statistics.ts";
import { LATENCY_TITLES, type Subject, SUBJECTS } from "./subjects.ts";

/** The rates whose p50 and p99 are shown. */
const OVERVIEW_RATES = [100, 1000, 3000] as const;

/** Empty unless CPU time or latency was measured. */
export function overviewSection({ throughput = [], latency = [], memory = [] }: Results): Section[] {
  const cpuOf = (subject: LatencySubject) =>
    median((throughput.find((row) => row.subject === subject)?.cpu ?? []).map(inAll));
  const rateOf = (subject: LatencySubject) => median(throughput.find((row) => row.subject === subject)?.rates ?? []);
  const latencyOf = (subject: LatencySubject, rate: number) =>
    latency.find((row) => row.subject === subject && row.rate === rate)?.both;
  const memoryOf = (subject: LatencySubject) =>
    Math.max(...memory.filter((row) => row.subject === subject).map(({ peakMb }) => peakMb));
  const measured = new Set<LatencySubject>([
    ...throughput.filter(({ rates }) => rates.length > 0).map(({ subject }) => subject),
    ...latency.map(({ subject }) => subject),
  ]);
  const subjects = ([...SUBJECTS, "bare_hop"] as const).filter((subject) => measured.has(subject));
  if (subjects.length === 0) return [];
  return [{
    title: "At a glance",
    note: "µs of CPU and latency (p50 / p99, ms) an intent; intents a second; peak memory in MB",
    header: [
      "subject",
      "CPU",
      ": graphile",
      "a second",
      ...OVERVIEW_RATES.map((rate) => `at ${whole(rate)}/s`),
      ...(memory.length > 0 ? ["memory"] : []),
    ],
    rows: subjects.map((subject) => [
      LATENCY_TITLES[subject],
      whole(cpuOf(subject)),
      ratio(cpuOf(subject), cpuOf("graphile_worker" satisfies Subject)),
      whole(rateOf(subject)),
      ...OVERVIEW_RATES.map((rate) => {
        const found = latencyOf(subject, rate);
        return found === undefined ? "–" : `${ms(found.p50)} / ${ms(found.p99)}`;
      }),
      ...(memory.length > 0 ? [whole(memoryOf(subject))] : []),
    ]),
    charts: [],
  }];
}
