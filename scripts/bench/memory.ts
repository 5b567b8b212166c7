/**
 * A session → the resident memory of the service: idle, at full load, and with a long backlog.
 *
 * The figures are from /proc; the peak is the kernel's. A new process is used for the backlog.
 */
import { fill } from "./fill.ts";
import { wantedSubjects } from "./options.ts";
import type { MemoryUse } from "./results.ts";
import { addProblems, type Session } from "./session.ts";
import { missing, SERVICES, type ServiceSubject, TITLES } from "./subjects.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { stage, timeRun, wrongCounts } from "./timed_run.ts";

const FULL = { idleMs: 3000, load: 60_000, backlog: 1_000_000, backlogMs: 10_000 };
const QUICK = { idleMs: 2000, load: 10_000, backlog: 50_000, backlogMs: 2000 };

export async function measureMemory(session: Session): Promise<MemoryUse[]> {
  const { backlog } = session.isQuick ? QUICK : FULL;
  const found: MemoryUse[] = [];
  const subjects = wantedSubjects(session.options, SERVICES).filter((subject) => missing(subject) === undefined);
  for (const subject of subjects) {
    session.progress(`${TITLES[subject]}: idle, then at full load`);
    found.push(...await idleAndLoaded(session, subject));
    session.progress(`${TITLES[subject]}: with ${backlog.toLocaleString("en")} intents waiting`);
    found.push(await underBacklog(session, subject));
  }
  return found;
}

async function idleAndLoaded(session: Session, subject: ServiceSubject): Promise<MemoryUse[]> {
  const { idleMs, load: count } = session.isQuick ? QUICK : FULL;
  await using setting = await session.setting();
  await stage(setting, { count });
  await using process = await session.start(subject, setting);
  await sleep(idleMs);
  const idle = { subject, when: "idle", ...await process.memory() };
  await timeRun(setting, { count, hasRoutes: true, processes: [process] });
  const loaded = { subject, when: "at full load", ...await process.memory() };
  addProblems(session, `memory of ${subject}`, await wrongCounts(setting, { count, hasRoutes: true }));
  return [idle, loaded];
}

/** Starts the service with a backlog and lets it work for some seconds. */
async function underBacklog(session: Session, subject: ServiceSubject): Promise<MemoryUse> {
  const { backlog, backlogMs } = session.isQuick ? QUICK : FULL;
  await using setting = await session.setting();
  await fill(setting.redis, { count: backlog });
  await using process = await session.start(subject, setting);
  await sleep(backlogMs);
  return { subject, when: `${backlog.toLocaleString("en")} intents waiting`, ...await process.memory() };
}
