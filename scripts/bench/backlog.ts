/**
 * A session → the rate at which the service publishes routes that are already due and that it has not accepted itself,
 * and the CPU time for each route.
 *
 * The schema is made by the subject's own migrations. The rate is measured in the middle of the work, when the process
 * is warm. Rounds are interleaved. In the end everything is published and counted.
 */
import { type Cpu, cpuEach, startCpuMeter } from "./cpu.ts";
import { OUTBOUND } from "./fill.ts";
import { wantedSubjects } from "./options.ts";
import type { Backlog } from "./results.ts";
import { addProblems, type Session } from "./session.ts";
import type { Setting } from "./setting.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { missing, SERVICES, type ServiceSubject, TITLES } from "./subjects.ts";
import { addRows } from "./tables.ts";
import { hasLiveRoutes, pidsOf, wrongCounts } from "./timed_run.ts";

/** Each record has two routes; `leadIn` and `timed` are routes. */
const FULL = { rounds: 3, records: 90_000, leadIn: 30_000, timed: 120_000 };
const QUICK = { rounds: 1, records: 25_000, leadIn: 15_000, timed: 20_000 };

const POLL_MS = 5;
const LIMIT_MS = 120_000;

export async function measureBacklog(session: Session): Promise<Backlog[]> {
  const { records, timed, ...byDefault } = session.isQuick ? QUICK : FULL;
  const rounds = session.options.rounds ?? byDefault.rounds;
  const found = wantedSubjects(session.options, SERVICES)
    .filter((subject) => missing(subject) === undefined)
    .map((subject) => ({ subject, routes: timed, rates: [] as number[], cpu: [] as Cpu[] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { subject, rates, cpu } of round % 2 === 1 ? found : found.toReversed()) {
      session.progress(`round ${round} of ${rounds}: ${TITLES[subject]}, ${(2 * records).toLocaleString("en")} routes`);
      const run = await runOnce(session, subject);
      rates.push(run.rate);
      cpu.push(run.cpu);
    }
  }
  return found;
}

async function runOnce(session: Session, subject: ServiceSubject): Promise<{ rate: number; cpu: Cpu }> {
  const { records: count } = session.isQuick ? QUICK : FULL;
  await using setting = await session.setting();
  await migrateBy(session, { subject, setting });
  await addRows(setting.pool, { from: 0, records: count, routes: "live", daysAgo: 2 });
  await setting.pool.query("CHECKPOINT");
  await using process = await session.start(subject, setting);
  const run = await timeStretch(session, { setting, process });
  await process.until("all was published", async () => !await hasLiveRoutes(setting));
  addProblems(session, `backlog of ${subject}`, await wrongCounts(setting, { count, hasRoutes: true }));
  return run;
}

/** Starts the subject once, so that it makes its own schema, which may differ in another checkout. */
async function migrateBy(
  session: Session,
  { subject, setting }: { subject: ServiceSubject; setting: Setting },
): Promise<void> {
  await using _process = await session.start(subject, setting);
}

async function timeStretch(
  session: Session,
  { setting, process }: { setting: Setting; process: Awaited<ReturnType<Session["start"]>> },
): Promise<{ rate: number; cpu: Cpu }> {
  const { leadIn, timed } = session.isQuick ? QUICK : FULL;
  const deadline = performance.now() + LIMIT_MS;
  const reach = async (wanted: number) => {
    for (;;) {
      const lengths = await Promise.all(OUTBOUND.map((stream) => setting.redis.xlen(stream)));
      const sent = lengths.reduce((sum, length) => sum + length, 0);
      if (sent >= wanted) return { sent, at: performance.now() };
      if (process.hasEnded || performance.now() > deadline) throw new Error(`Only ${sent} of ${wanted} were published`);
      await sleep(POLL_MS);
    }
  };
  const from = await reach(leadIn);
  const readCpu = await startCpuMeter(pidsOf(setting, [process]));
  const to = await reach(from.sent + timed);
  const cpu = await readCpu();
  const routes = to.sent - from.sent;
  return { rate: routes * 1000 / (to.at - from.at), cpu: cpuEach(cpu, routes) };
}
