/**
 * Process ids → the CPU time of these processes and all their descendants, so far or between two readings.
 *
 * This is the user and system time of all threads. An ended child is included through its parent, if the parent waited
 * for it (as PostgreSQL's postmaster does for its backends). The kernel's resolution is 10 ms for each process, so the
 * measured time should be at least a second. NaN if there is no /proc, as on macOS.
 */

/** Microseconds of CPU. */
export interface Cpu {
  readonly process: number;
  readonly postgres: number;
  readonly redis: number;
}

export type CpuPids = { readonly [Part in keyof Cpu]: readonly number[] };

/** The unit of time in /proc is a hundredth of a second on all architectures of Linux (USER_HZ). */
const TICK_MICROS = 10_000;

/** Starts a measurement. The returned function returns the CPU time since then. */
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

/** The CPU time divided by `count`. */
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
  /** The time of all threads. */
  readonly micros: number;
  /** The time of ended children that the process has waited for, and of their ended children. */
  readonly endedChildrenMicros: number;
}

/** Returns the time of a process and of all its descendants, running or ended. */
export function treeMicros(stats: readonly ProcessStat[], pid: number): number {
  const own = stats.find((stat) => stat.pid === pid);
  if (own === undefined) return NaN;
  const children = stats.filter(({ parent }) => parent === pid);
  return own.micros + own.endedChildrenMicros +
    children.reduce((sum, child) => sum + treeMicros(stats, child.pid), 0);
}

/** Parses /proc/<pid>/stat (proc(5)). The name in brackets may itself contain spaces and brackets. */
export function parseStat(line: string): ProcessStat {
  const afterName = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const field = (number: number) => Number(afterName[number - 3]); // the first field after the name is field 3
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
    // The process may have ended meanwhile.
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
