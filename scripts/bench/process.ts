/**
 * A command, its environment and folder → that command as a process of its own, all it prints in a file.
 *
 * It sees no variable but those given and what Deno needs to run; it ends when it is disposed of or when this process
 * ends, however it ends.
 */
import { type Memory, memoryOf } from "../process_memory.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { resolve } from "node:path";
import { surroundings } from "../../tests/support/service_process.ts";
import { Guard } from "../servers/guard.ts";

export type Environment = Readonly<Record<string, string>>;

/** Megabytes (10⁶ bytes). */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const POLL_MS = 20;

/** The project's folder. */
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
    detached: true, // Ctrl-C in a terminal is for the benchmark, which then ends this
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
   * Returns when `condition` holds; throws with the end of its output when the process ends before, or takes a minute.
   */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    while (!await condition()) {
      if (this.#hasEnded || performance.now() > deadline) {
        throw new Error(`${this.#hasEnded ? "It ended" : "It took too long"} before ${what}:\n${await this.#end()}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** The first match in what it has printed so far. */
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
