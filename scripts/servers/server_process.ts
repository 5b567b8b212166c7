/**
 * The command of a server that stays in the foreground, and a check whether it is ready → this server, which can be
 * started, stopped and killed repeatedly. Its output is written to `server.log` in its folder.
 *
 * `start` resolves when the server is ready, and rejects with the end of the log if it does not start. `stop` and
 * SIGKILL resolve when the process has ended. The server ends at the latest when this process ends (`guard.ts`).
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
  /** The working folder, also for the log. It belongs to `account` and is deleted with the server. */
  readonly folder: string;
  readonly account?: Account | undefined;
  /** Environment variables in addition to those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The signal that ends the server quickly and with all its child processes. */
  readonly quickSignal: "KILL" | "QUIT";
  readonly isReady: (pid: number) => Promise<boolean>;
}

/** The server ended during its start, or was not ready in time. The message contains the end of its log. */
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

  /** @param more additional arguments for this start only, after the others */
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
   * Sends `signal` and waits for the end of the process; sends SIGKILL after 30 seconds. Does nothing if the server is
   * not running.
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

  /** Sends a signal to the server and its child processes. With SIGKILL, it also waits for the end. */
  async kill(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    if (child === undefined) throw new Error(`${this.#options.name} is not running`);
    if (signal === "SIGKILL") return await this.stop(signal);
    for (const pid of [child.pid, ...await childrenOf(child.pid)]) {
      try {
        Deno.kill(pid, signal);
      } catch (error) {
        // A child process may have ended meanwhile.
        if (pid === child.pid || !(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  /** Calls `act` while all processes of the server are stopped by SIGSTOP, so that its files do not change. */
  async whileFrozen(act: () => Promise<unknown>): Promise<void> {
    try {
      // Repeated, because a process may have been forked meanwhile.
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
    // T: stopped; Z: ended.
    return new TextDecoder().decode(stdout).trim().split("\n").every((state) => /^[TZ]/.test(state.trim()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    child?.ref();
    await this.#guard[Symbol.asyncDispose]();
    await child?.status;
  }
}

/** Calls `start` with a free port, and again with another one if another process has used the port first. */
export async function withFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    const port = freePort();
    try {
      return await start(port);
    } catch (error) {
      // The port is checked, because the server's message may be in any language.
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
    // The file exists only on Linux.
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
