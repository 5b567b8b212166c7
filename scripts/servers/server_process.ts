/**
 * How to run a server that stays in the foreground, and how to see that it is ready → that server, to be started,
 * stopped and killed as often as a test likes; its output goes to `server.log` in its folder.
 *
 * `start` returns when the server answers and throws with the end of its log when it does not come up; `stop` and a
 * killing signal return when the process is gone; nothing outlives this process (see guard.ts).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Guard } from "./guard.ts";
import { freePort, isFree } from "./free_port.ts";
import type { Account } from "./account.ts";

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 30_000;

export interface ServerOptions {
  readonly name: string;
  readonly command: readonly string[];
  /** Where the server works and logs; it belongs to `account` and is removed with the server. */
  readonly folder: string;
  readonly account?: Account | undefined;
  /** Added to the variables of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** What ends the server quickly and leaves nothing behind. */
  readonly quickSignal: "KILL" | "QUIT";
  readonly isReady: (pid: number) => Promise<boolean>;
}

/** The server ended, or did not answer in time, while it was started; the message has the end of its log. */
export class StartError extends Error {}

export class ServerProcess implements AsyncDisposable {
  readonly #options: ServerOptions;
  readonly #guard: Guard;
  #child: Deno.ChildProcess | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#guard = new Guard(options.folder);
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** @param more arguments for this start alone, behind the others */
  async start(more: readonly string[] = []): Promise<void> {
    const { name, command, folder, account, env, quickSignal, isReady } = this.#options;
    if (this.#child !== undefined) throw new Error(`${name} is running already`);
    const log = `${folder}/server.log`;
    const logStart = await sizeOf(log);
    const child = new Deno.Command("sh", {
      args: ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", log, ...command, ...more],
      cwd: folder,
      env: { LC_ALL: "C", ...env },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
      ...account,
    }).spawn();
    child.unref();
    this.#child = child;
    child.status.then(() => this.#child = this.#child === child ? undefined : this.#child);
    await this.#guard.watch(child.pid, quickSignal);

    const deadline = performance.now() + START_LIMIT_MS;
    while (!await isReady(child.pid)) {
      if (this.#child === child && performance.now() < deadline) {
        await sleep(10);
        continue;
      }
      if (this.#child === child) await this.kill("SIGKILL");
      else await this.#guard.forget();
      throw new StartError(`${name} did not start:\n${await endOf(log, logStart)}`);
    }
  }

  /**
   * Sends `signal` and waits for the end; after half a minute it is SIGKILL. Does nothing when the server is stopped
   * already.
   */
  async stop(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const limit = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    child.ref();
    child.kill(signal);
    await child.status;
    clearTimeout(limit);
    await this.#guard.forget();
  }

  /** Sends any signal to the server and the processes it has started; SIGKILL waits for the end. */
  async kill(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    if (child === undefined) throw new Error(`${this.#options.name} is not running`);
    if (signal === "SIGKILL") return await this.stop(signal);
    for (const pid of [child.pid, ...await childrenOf(child.pid)]) {
      try {
        Deno.kill(pid, signal);
      } catch (error) {
        // A process that it started may have ended meanwhile.
        if (pid === child.pid || !(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  /** Calls `act` while no process of the server runs: its files are as they were at one moment. */
  async whileFrozen(act: () => Promise<unknown>): Promise<void> {
    try {
      // Again for processes that were forked during the last round.
      do {
        await this.kill("SIGSTOP");
        await sleep(1);
      } while (!await this.#isFrozen());
      await act();
    } finally {
      await this.kill("SIGCONT");
    }
  }

  async #isFrozen(): Promise<boolean> {
    const { pid } = this.#child!;
    const pids = [pid, ...await childrenOf(pid)];
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-p", pids.join(",")] }).output();
    // T is stopped, Z has ended.
    return new TextDecoder().decode(stdout).trim().split("\n").every((state) => /^[TZ]/.test(state.trim()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    child?.ref();
    await this.#guard[Symbol.asyncDispose]();
    await child?.status;
  }
}

/** Calls `start` with one free port after another until the server could have the one it was given. */
export async function withFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    const port = freePort();
    try {
      return await start(port);
    } catch (error) {
      // Not by the server's message, which may be in any language.
      const taken = error instanceof StartError && !isFree(port);
      if (!taken || attempt === 10) throw error;
    }
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  let list: string;
  try {
    list = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  } catch {
    // No such file outside Linux.
    const { stdout } = await new Deno.Command("pgrep", { args: ["-P", String(pid)] }).output();
    list = new TextDecoder().decode(stdout);
  }
  return list.split(/\s+/).filter((text) => text !== "").map(Number);
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await Deno.stat(file)).size;
  } catch {
    return 0; // not written yet
  }
}

async function endOf(file: string, from: number): Promise<string> {
  try {
    const bytes = await Deno.readFile(file);
    return new TextDecoder().decode(bytes.subarray(from)).trimEnd().split("\n").slice(-20).join("\n");
  } catch {
    return "(no log)";
  }
}
