/**
 * A waiting subject, and a stream of intents under another name → the time from the renaming of this stream to the
 * intent stream until both outbound streams are complete and, if the subject has routes, all are published; and the CPU
 * time of the processes, PostgreSQL and Redis meanwhile.
 *
 * The start of a subject is not measured, and all subjects start by the same event. The output is counted afterwards,
 * and every difference is reported.
 */
import { type Cpu, cpuEach, type CpuPids, startCpuMeter } from "./cpu.ts";
import { countOutbound, fill, type Filling, INTENTS, OUTBOUND } from "./fill.ts";
import type { BenchProcess } from "./process.ts";
import type { Setting } from "./setting.ts";
import { setTimeout as sleep } from "node:timers/promises";

const STAGED = "bench:staged";
const POLL_MS = 20;
const LIMIT_MS = 180_000;
/** The wait before the count, in which an entry that is published twice would appear. */
const AFTERWARDS_MS = 200;

export async function stage(setting: Setting, filling: Omit<Filling, "stream">): Promise<void> {
  await fill(setting.redis, { ...filling, stream: STAGED });
}

/** Renaming wakes every client that waits in XREAD, so no client reads earlier or later than the others. */
export async function release({ redis }: Setting): Promise<void> {
  await redis.rename(STAGED, INTENTS);
}

export interface TimedRun {
  /** Intents per second. */
  readonly rate: number;
  /** Microseconds for each intent. */
  readonly cpu: Cpu;
}

export async function timeRun(
  setting: Setting,
  { count, hasRoutes, processes }: {
    count: number;
    hasRoutes: boolean;
    processes: readonly BenchProcess[];
  },
): Promise<TimedRun> {
  const { redis, pool } = setting;
  const readCpu = await startCpuMeter(pidsOf(setting, processes));
  const begun = performance.now();
  await release(setting);
  for (;;) {
    const lengths = await Promise.all(OUTBOUND.map((stream) => redis.xlen(stream)));
    if (lengths.every((length) => length >= count)) break;
    if (processes.some(({ hasEnded }) => hasEnded) || performance.now() - begun > LIMIT_MS) {
      throw new Error(`Only ${lengths.join(" and ")} of ${count} were published`);
    }
    await sleep(POLL_MS);
  }
  while (hasRoutes && await hasLiveRoutes({ pool })) await sleep(1);
  const seconds = (performance.now() - begun) / 1000;
  return { rate: count / seconds, cpu: cpuEach(await readCpu(), count) };
}

export function pidsOf({ pids }: Setting, processes: readonly BenchProcess[]): CpuPids {
  return { process: processes.map(({ pid }) => pid), postgres: [pids.postgres], redis: [pids.redis] };
}

/** Returns the counts that are wrong after `count` intents with two routes each; empty if all are right. */
export async function wrongCounts(
  { redis, pool }: Setting,
  { count, hasRoutes }: { count: number; hasRoutes: boolean },
): Promise<string[]> {
  await sleep(AFTERWARDS_MS);
  const wrong: string[] = [];
  const check = (what: string, actual: number, expected: number) => {
    if (actual !== expected) wrong.push(`${what}: ${actual} instead of ${expected}`);
  };
  for (const stream of OUTBOUND) {
    const { entries, intents } = await countOutbound(redis, stream);
    check(`entries in ${stream}`, entries, count);
    check(`intents in ${stream}`, intents, count);
  }
  if (!hasRoutes) return wrong;
  const { rows } = await pool.query<{ records: number; routes: number; published: number }>(
    `SELECT (SELECT count(*)::int FROM notification.records) AS records, count(*)::int AS routes,
       (count(*) FILTER (WHERE status = 'published'))::int AS published
     FROM notification.routes`,
  );
  check("records", rows[0]!.records, count);
  check("routes", rows[0]!.routes, 2 * count);
  check("routes published", rows[0]!.published, 2 * count);
  return wrong;
}

export async function hasLiveRoutes({ pool }: Pick<Setting, "pool">): Promise<boolean> {
  const { rowCount } = await pool.query(
    "SELECT FROM notification.routes WHERE channel IN ('push', 'email') AND next_attempt_at IS NOT NULL LIMIT 1",
  );
  return rowCount !== 0;
}
