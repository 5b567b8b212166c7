/**
 * A number of MiB → a cgroup that limits a command to this memory without swap, the peak of its memory, and how often
 * the kernel killed a process because of the limit. Needs root and a writable cgroup file system, version 1 or 2.
 *
 * Disposal removes the cgroup; its processes must have ended before.
 */
import { existsSync } from "node:fs";

/** The files of a memory cgroup for each version of the file system. */
const VERSIONS = {
  v1: {
    root: "/sys/fs/cgroup/memory",
    limits: ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
  },
  v2: { root: "/sys/fs/cgroup", limits: ["memory.max"], peak: "memory.peak", events: "memory.events" },
} as const;

export class MemoryGroup implements AsyncDisposable {
  readonly #folder: string;
  readonly #files: typeof VERSIONS[keyof typeof VERSIONS];

  private constructor(folder: string, files: typeof VERSIONS[keyof typeof VERSIONS]) {
    this.#folder = folder;
    this.#files = files;
  }

  static async create(mib: number): Promise<MemoryGroup> {
    const files = existsSync(VERSIONS.v1.root) ? VERSIONS.v1 : VERSIONS.v2;
    const folder = `${files.root}/notification-${Deno.pid}`;
    await Deno.mkdir(folder);
    for (const name of files.limits) {
      // The file for swap does not exist if the kernel does not account for swap.
      if (existsSync(`${folder}/${name}`)) await Deno.writeTextFile(`${folder}/${name}`, String(mib * 1024 * 1024));
    }
    return new MemoryGroup(folder, files);
  }

  /** A command prefix: the command after it runs in this cgroup. */
  get prefix(): readonly string[] {
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.#folder];
  }

  async peakMb(): Promise<number> {
    return Math.round(Number(await Deno.readTextFile(`${this.#folder}/${this.#files.peak}`)) / 1_000_000);
  }

  async kills(): Promise<number> {
    const text = await Deno.readTextFile(`${this.#folder}/${this.#files.events}`);
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder);
  }
}
