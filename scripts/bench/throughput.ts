// In: a session. Out: intents a second of every subject, one figure a round.
// Guaranteed: rounds are interleaved, so that a slow minute of the machine is shared by all; every run has its own
// database and Redis, and its counts are checked.

import type { Throughput } from "./results.ts";
import { type Session, tell } from "./session.ts";
import { isService, missing, type Subject, SUBJECTS, TITLES } from "./subjects.ts";
import { stage, timeRun, wrongCounts } from "./timed_run.ts";

const FULL = { rounds: 3, count: 60_000 };
const QUICK = { rounds: 1, count: 10_000 };

export async function measureThroughput(session: Session): Promise<Throughput[]> {
  const { rounds, count } = session.isQuick ? QUICK : FULL;
  const rates = new Map<Subject, number[]>(SUBJECTS.map((subject) => [subject, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const subject of SUBJECTS) {
      if (missing(subject) !== undefined) continue;
      session.progress(`round ${round} of ${rounds}: ${TITLES[subject]}, ${count.toLocaleString("en")} intents`);
      rates.get(subject)!.push(count / await runOnce(session, subject, count));
    }
  }
  return SUBJECTS.map((subject) => {
    const reason = missing(subject);
    const found = { subject, intents: count, rates: rates.get(subject)! };
    return reason === undefined ? found : { ...found, missing: reason };
  });
}

async function runOnce(session: Session, subject: Subject, count: number): Promise<number> {
  await using setting = await session.setting();
  await stage(setting, { count });
  await using process = await session.start(subject, setting);
  const seconds = await timeRun(setting, { count, hasRoutes: hasRoutes(subject), processes: [process] });
  tell(session, `throughput of ${subject}`, await wrongCounts(setting, { count, hasRoutes: hasRoutes(subject) }));
  return seconds;
}

function hasRoutes(subject: Subject): boolean {
  return subject === "floor" || isService(subject);
}
