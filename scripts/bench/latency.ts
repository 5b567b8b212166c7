/**
 * A session → for each rate, the time from the start of an intent's XADD until a reader of the outbound streams has
 * read its entries: for the service and the peers, each with its own servers, and for the bare hop, whose reader reads
 * the intents themselves.
 *
 * The producer has its own thread; the reader uses this one, which does nothing else meanwhile. A process is warmed up
 * first. The next rate begins when all entries of the last one have arrived. There are 1,000 users, which the service
 * caches for five seconds.
 */
import { wantedSubjects } from "./options.ts";
import type { Latency, LatencySubject } from "./results.ts";
import { type Latencies, sendAndWatch } from "./send_and_watch.ts";
import type { Session } from "./session.ts";
import { distributionOf } from "./statistics.ts";
import { isService, LATENCY_TITLES, missing, PEERS, type Subject, SUBJECTS } from "./subjects.ts";

const BY_DEFAULT: readonly Subject[] = ["service", "other", ...PEERS];

const FULL = { seconds: 10, warmUp: { rate: 1000, count: 3000 } };
const QUICK = { seconds: 1.5, warmUp: { rate: 1000, count: 700 } };
/** From this rate on, half the time gives enough samples. */
const HIGH_RATE = 1000;

export async function measureLatency(session: Session): Promise<Latency[]> {
  const { options } = session;
  const subjects = wantedSubjects(options, options.subjects.length > 0 ? SUBJECTS : BY_DEFAULT);
  const found = (["bare_hop", ...subjects.filter((subject) => missing(subject) === undefined)] as const)
    .map((subject) => ({ subject, runs: options.rates.map((rate) => ({ rate, latencies: [] as Latencies[] })) }));
  const rounds = options.rounds ?? 1;
  for (let round = 1; round <= rounds; round++) {
    for (const { subject, runs } of round % 2 === 1 ? found : found.toReversed()) {
      const progress = (what: string) =>
        session.progress(`${rounds === 1 ? "" : `round ${round} of ${rounds}: `}${LATENCY_TITLES[subject]}, ${what}`);
      await measureSubject(session, { subject, runs, progress });
    }
  }
  return found.flatMap(({ subject, runs }) =>
    runs.filter(({ latencies }) => latencies.length > 0)
      .map(({ rate, latencies }) => summarise({ subject, rate }, latencies))
  );
}

async function measureSubject(
  session: Session,
  { subject, runs, progress }: {
    subject: LatencySubject;
    runs: readonly { readonly rate: number; readonly latencies: Latencies[] }[];
    progress: (what: string) => void;
  },
): Promise<void> {
  const { seconds: full, warmUp } = session.isQuick ? QUICK : FULL;
  await using stack = new AsyncDisposableStack();
  const setting = stack.use(await session.setting());
  const isBare = subject === "bare_hop";
  if (!isBare) stack.use(await session.start(subject, setting));
  progress("warming up");
  await sendAndWatch(setting, { ...warmUp, prefix: "warm" }, { isBare });
  for (const { rate, latencies } of runs) {
    const seconds = rate >= HIGH_RATE ? full / 2 : full;
    progress(`${rate.toLocaleString("en")} intents a second for ${seconds} s`);
    const watched = await sendAndWatch(setting, { rate, count: rate * seconds, prefix: `r${rate}` }, { isBare });
    latencies.push(watched);
    const undelivered = watched.count - watched.both.length;
    if (undelivered > 0 && !isBare && isService(subject)) {
      session.problems.push(`latency of ${subject} at ${rate} a second: ${undelivered} intents were not delivered`);
    }
    // At higher rates it would be even later.
    if (undelivered > 0) break;
  }
}

/** Combines the samples of all rounds. An intent that was not delivered counts as infinitely late. */
export function summarise(
  { subject, rate }: Pick<Latency, "subject" | "rate">,
  rounds: readonly Latencies[],
): Latency {
  const late = (values: readonly number[], count: number) => [
    ...values,
    ...Array<number>(count - values.length).fill(Infinity),
  ];
  const pooled = (which: "both" | "push" | "email") =>
    distributionOf(rounds.flatMap((round) => late(round[which], round.count)));
  const samples = rounds.reduce((sum, { count }) => sum + count, 0);
  const both = {
    samples,
    undelivered: samples - rounds.reduce((sum, round) => sum + round.both.length, 0),
    both: pooled("both"),
    rounds: rounds.map((round) => distributionOf(late(round.both, round.count))),
  };
  if (subject === "bare_hop") return { subject, rate, ...both };
  return { subject, rate, ...both, push: pooled("push"), email: pooled("email") };
}
