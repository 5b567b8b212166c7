/**
 * A session → for every subject, the CPU time for each intent and the intents per second, one figure for each round.
 *
 * Rounds are interleaved, so that a slow minute of the machine affects all subjects. Every run has its own database and
 * Redis, and its counts are checked.
 */
import type { Cpu } from "./cpu.ts";
import { wantedSubjects } from "./options.ts";
import type { Throughput } from "./results.ts";
import { addProblems, type Session } from "./session.ts";
import { isService, missing, type Subject, SUBJECTS, TITLES } from "./subjects.ts";
import { stage, type TimedRun, timeRun, wrongCounts } from "./timed_run.ts";

const FULL = { rounds: 3, count: 60_000 };
const QUICK = { rounds: 1, count: 10_000 };

export async function measureThroughput(session: Session): Promise<Throughput[]> {
  const { count, ...byDefault } = session.isQuick ? QUICK : FULL;
  const rounds = session.options.rounds ?? byDefault.rounds;
  const found = wantedSubjects(session.options, SUBJECTS).map((subject) => {
    const row = { subject, intents: count, rates: [] as number[], cpu: [] as Cpu[] };
    const reason = missing(subject);
    return reason === undefined ? row : { ...row, missing: reason };
  });
  for (let round = 1; round <= rounds; round++) {
    for (const { subject, rates, cpu } of found) {
      if (missing(subject) !== undefined) continue;
      session.progress(`round ${round} of ${rounds}: ${TITLES[subject]}, ${count.toLocaleString("en")} intents`);
      const run = await runOnce(session, subject, count);
      rates.push(run.rate);
      cpu.push(run.cpu);
    }
  }
  return found;
}

async function runOnce(session: Session, subject: Subject, count: number): Promise<TimedRun> {
  await using setting = await session.setting();
  await stage(setting, { count });
  await using process = await session.start(subject, setting);
  const run = await timeRun(setting, { count, hasRoutes: hasRoutes(subject), processes: [process] });
  addProblems(
    session,
    `throughput of ${subject}`,
    await wrongCounts(setting, { count, hasRoutes: hasRoutes(subject) }),
  );
  return run;
}

function hasRoutes(subject: Subject): boolean {
  return subject === "floor" || isService(subject);
}
