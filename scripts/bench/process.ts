/**
 * A command, its environment and folder → the command as a process that writes its output to a file.
 *
 * The process gets only the given variables and those that Deno needs. It ends on disposal, or when this process ends
 * in any way.
 */
import { type Memory, memoryOf } from "../process_memory.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { resolve } from "node:path";
import { surroundings } from "../../tests/support/service_process.ts";
import { Guard } from "../servers/guard.ts";

export type Environment = Readonly<Record<string, string>>;

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const POLL_MS = 20;

/** The root folder of the project. */
export const ROOT = resolve(import.meta.dirname!, "../..");

export async function startProcess(
  command: readonly string[],
  { env, output, cwd = ROOT }: { env: Environment; output: string; cwd?: string },
): Promise<BenchProcess> {
  const child = new Deno.Command("sh", {
    args: ["-c", 'output=$1; shift; exec "$@" >"$output" 2>&1', "sh", output, ...command],
    cwd,
    clearEnv: true,
    env: { ...surroundings(), ...env },
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true, // Ctrl-C in a terminal must reach only the benchmark, which then ends this process
  }).spawn();
  const guard = new Guard();
  await guard.watch(child.pid, "KILL");
  return new BenchProcess(child, guard, output);
}

export class BenchProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #guard: Guard;
  readonly #output: string;
  #hasEnded = false;

  constructor(child: Deno.ChildProcess, guard: Guard, output: string) {
    this.#child = child;
    this.#guard = guard;
    this.#output = output;
    void child.status.then(() => this.#hasEnded = true);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Waits until `condition` returns `true`; throws with the end of the output if the process ends before, or after a
   * minute.
   */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    while (!await condition()) {
      if (this.#hasEnded || performance.now() > deadline) {
        throw new Error(`${this.#hasEnded ? "Process ended" : "Time-out"} before ${what}:\n${await this.#end()}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Returns the first match in the output so far. */
  async printed(pattern: RegExp): Promise<RegExpExecArray | null> {
    return pattern.exec(await Deno.readTextFile(this.#output).catch(() => ""));
  }

  async memory(): Promise<Memory> {
    return await memoryOf(this.#child.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    const limit = setTimeout(() => this.#hasEnded || this.#child.kill("SIGKILL"), STOP_LIMIT_MS);
    await this.#child.status;
    clearTimeout(limit);
    await this.#guard.forget();
    await this.#guard[Symbol.asyncDispose]();
  }

  async #end(): Promise<string> {
    const text = await Deno.readTextFile(this.#output).catch(() => "(no output)");
    return text.trimEnd().split("\n").slice(-10).join("\n");
  }
}
