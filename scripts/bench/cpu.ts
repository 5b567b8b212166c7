/**
 * Process ids → the CPU time that these processes, and all that they have started, took so far, or between two
 * readings.
 *
 * User and system time of every thread; a child that has ended counts through its parent, which waited for it (as
 * PostgreSQL's postmaster does for its backends). The kernel counts in steps of 10 ms a process, so a stretch of a
 * second or more is needed. NaN where there is no /proc, as on macOS.
 */

/** Microseconds of CPU. */
export interface Cpu {
  readonly process: number;
  readonly postgres: number;
  readonly redis: number;
}

export type CpuPids = { readonly [Part in keyof Cpu]: readonly number[] };

/** Linux gives /proc in hundredths of a second on all of its architectures (USER_HZ). */
const TICK_MICROS = 10_000;

/** Starts to measure; the function that it returns reads the CPU time taken since. */
export async function startCpuMeter(pids: CpuPids): Promise<() => Promise<Cpu>> {
  const before = await readCpu(pids);
  return async () => {
    const after = await readCpu(pids);
    return {
      process: after.process - before.process,
      postgres: after.postgres - before.postgres,
      redis: after.redis - before.redis,
    };
  };
}

export function inAll({ process, postgres, redis }: Cpu): number {
  return process + postgres + redis;
}

/** The CPU time of each of `count` pieces of work. */
export function cpuEach({ process, postgres, redis }: Cpu, count: number): Cpu {
  return { process: process / count, postgres: postgres / count, redis: redis / count };
}

async function readCpu({ process, postgres, redis }: CpuPids): Promise<Cpu> {
  const stats = await readStats();
  const sum = (pids: readonly number[]) => pids.reduce((total, pid) => total + treeMicros(stats, pid), 0);
  return { process: sum(process), postgres: sum(postgres), redis: sum(redis) };
}

export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** Of all its threads. */
  readonly micros: number;
  /** Of its children that have ended and been waited for, and theirs. */
  readonly endedChildrenMicros: number;
}

/** Of the process, its children that are alive, theirs and so on, and those of all of them that have ended. */
export function treeMicros(stats: readonly ProcessStat[], pid: number): number {
  const own = stats.find((stat) => stat.pid === pid);
  if (own === undefined) return NaN;
  const children = stats.filter(({ parent }) => parent === pid);
  return own.micros + own.endedChildrenMicros +
    children.reduce((sum, child) => sum + treeMicros(stats, child.pid), 0);
}

/** One line of /proc/<pid>/stat (proc(5)); the name, in brackets, may hold spaces and brackets itself. */
export function parseStat(line: string): ProcessStat {
  const afterName = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const field = (number: number) => Number(afterName[number - 3]); // the first behind the name is the third
  return {
    pid: Number.parseInt(line),
    parent: field(4),
    micros: (field(14) + field(15)) * TICK_MICROS,
    endedChildrenMicros: (field(16) + field(17)) * TICK_MICROS,
  };
}

async function readStats(): Promise<ProcessStat[]> {
  const found: ProcessStat[] = [];
  for (const pid of pidsOfAll()) {
    // A process may end between the two.
    const line = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => undefined);
    if (line !== undefined) found.push(parseStat(line));
  }
  return found;
}

function pidsOfAll(): string[] {
  try {
    return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => /^\d+$/.test(name));
  } catch {
    return []; // a system without /proc
  }
}
