/**
 * The complete environment of the service → the real service as a process: from source with the flags of the `start`
 * task, or the executable that NOTIFICATION_SERVICE_BIN names.
 *
 * The process gets only the given variables and those that Deno needs. Its output is kept. It ends on disposal, or when
 * this process ends in any way.
 */
import { Buffer } from "node:buffer";
import { resolve } from "node:path";
import { Guard } from "../../scripts/servers/guard.ts";
import { eventually } from "./wait.ts";

export type Environment = Readonly<Record<string, string>>;

/** One JSON line of the service's log, with all its members. */
export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly logger: string;
  readonly message: string;
  readonly [member: string]: unknown;
}

export interface Exit {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** From the signal to the end. */
  readonly durationMs: number;
}

export interface ServiceOptions {
  /** A command and its flags, e.g. `["smoke", "--yes"]`; none runs the service. */
  readonly args?: readonly string[];
  readonly stdin?: string | Uint8Array;
  /** A command that runs the service's own command, which follows it. */
  readonly prefix?: readonly string[];
  /** For runs of many hours: keeps only the last of the selected lines. Default: all lines. */
  readonly keep?: KeptLines;
  /** Standard output is not read until this resolves. */
  readonly readFrom?: Promise<void>;
  /** The folder with the source of another version, which is run instead of this one or the executable. */
  readonly root?: string | undefined;
}

export interface KeptLines {
  readonly maxLines: number;
  readonly isKept: (line: string) => boolean;
}

const ROOT = resolve(import.meta.dirname ?? ".", "../..");
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 30_000;

export async function startService(env: Environment, options: ServiceOptions = {}): Promise<ServiceProcess> {
  const [command = "", ...args] = [
    ...options.prefix ?? [],
    ...await serviceCommand(options.root),
    ...options.args ?? [],
  ];
  const child = new Deno.Command(command, {
    args,
    cwd: options.root ?? ROOT,
    clearEnv: true,
    env: { ...surroundings(), ...env },
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    detached: true, // Ctrl-C in a terminal must not reach the service
  }).spawn();
  const guard = new Guard();
  await guard.watch(child.pid, "KILL");
  if (options.stdin !== undefined) {
    await ReadableStream.from([Uint8Array.from(Buffer.from(options.stdin))]).pipeTo(child.stdin);
  }
  return new ServiceProcess(child, guard, { ...options, env });
}

export class ServiceProcess implements AsyncDisposable {
  readonly env: Environment;
  readonly pid: number;
  /** The JSON lines of standard output so far. */
  readonly logs: LogLine[] = [];
  /** Settles when the process has ended and its output has been read. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #keep: KeptLines | undefined;
  readonly #stdout: string[] = [];
  readonly #stderr: string[] = [];
  #status: Deno.CommandStatus | undefined;

  constructor(
    child: Deno.ChildProcess,
    guard: Guard,
    { env, keep, readFrom }: Pick<ServiceOptions, "keep" | "readFrom"> & { env: Environment },
  ) {
    this.env = env;
    this.#keep = keep;
    this.pid = child.pid;
    this.#child = child;
    this.ended = this.#untilEnd(guard, readFrom);
  }

  get stdout(): string {
    return this.#stdout.join("\n");
  }

  get stderr(): string {
    return this.#stderr.join("\n");
  }

  /** `undefined` while it runs; 128 and the signal's number when a signal ended it. */
  get exitCode(): number | undefined {
    return this.#status?.code;
  }

  /** The probe's address, as a URL without a path. */
  get probeUrl(): string {
    const addr = this.env["NOTIFICATION_INTERNAL_HTTP_ADDR"] ?? "127.0.0.1:8092";
    return `http://${addr.startsWith(":") ? "127.0.0.1" : ""}${addr}`;
  }

  /** Returns when the probe reports that the service is ready; throws with its output if it ends instead. */
  async ready(): Promise<this> {
    await this.#unlessEnded("get ready", START_LIMIT_MS, async () => {
      const response = await fetch(`${this.probeUrl}/readyz`);
      await response.body?.cancel();
      return response.ok;
    });
    return this;
  }

  /** Returns the first past or future line that `predicate` accepts. */
  async waitForLog(predicate: (line: LogLine) => boolean, { timeoutMs = 10_000 } = {}): Promise<LogLine> {
    return await this.#unlessEnded("log what was waited for", timeoutMs, () => this.logs.find(predicate));
  }

  /** Returns the exit code of a service that ends by itself; throws with its output if it does not. */
  async exit({ timeoutMs = 20_000 } = {}): Promise<number> {
    const message = () => `The service did not end; it printed:\n${this.output()}\n`;
    const { code } = await eventually(() => this.#status, { timeoutMs, message });
    return code;
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Sends SIGTERM and returns how the process ended. */
  async terminate(): Promise<Exit> {
    return await this.#end("SIGTERM");
  }

  /** Sends SIGKILL and returns how the process ended; does nothing if it has ended. */
  async kill(): Promise<Exit> {
    return await this.#end("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** The whole output, for an error message. */
  output(): string {
    return [...this.#stdout, ...this.#stderr].join("\n");
  }

  async #end(signal: Deno.Signal): Promise<Exit> {
    const start = performance.now();
    if (this.#status === undefined) {
      try {
        this.#child.kill(signal);
      } catch (error) {
        if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error; // it ended just now
      }
    }
    const limit = setTimeout(() => this.#child.kill("SIGKILL"), STOP_LIMIT_MS);
    const { code, signal: endedBy } = await this.ended;
    clearTimeout(limit);
    return { code, signal: endedBy, durationMs: performance.now() - start };
  }

  async #untilEnd(guard: Guard, readFrom: Promise<void> | undefined): Promise<Deno.CommandStatus> {
    const readOutput = async () => {
      await readFrom;
      await eachLine(this.#child.stdout, (line) => this.#took(line));
    };
    const [status] = await Promise.all([
      this.#child.status,
      readOutput(),
      eachLine(this.#child.stderr, (line) => this.#stderr.push(line)),
    ]);
    await guard.forget();
    await guard[Symbol.asyncDispose]();
    return this.#status = status;
  }

  #took(line: string): void {
    if (this.#keep !== undefined) {
      if (!this.#keep.isKept(line)) return;
      for (const lines of [this.logs, this.#stdout]) if (lines.length >= this.#keep.maxLines) lines.shift();
    }
    this.#stdout.push(line);
    if (!line.startsWith("{")) return;
    try {
      this.logs.push(JSON.parse(line));
    } catch {
      // not a log line; it is in `stdout`
    }
  }

  async #unlessEnded<T>(what: string, timeoutMs: number, condition: () => T | Promise<T>): Promise<NonNullable<T>> {
    const message = () => `The service did not ${what}; it printed:\n${this.output()}\n`;
    const ended = Symbol();
    const found = await eventually(async () => {
      const over = this.#status !== undefined;
      try {
        const value = await condition();
        if (value || !over) return value;
      } catch (error) {
        if (!over) throw error;
      }
      return ended;
    }, { timeoutMs, message });
    if (found === ended) throw new Error(`${message()}and ended with exit code ${this.exitCode}`);
    return found as NonNullable<T>;
  }
}

/** The flags come from the `start` task in deno.json: `deno run <flags> main.ts`. */
export async function serviceCommand(root?: string): Promise<[string, ...string[]]> {
  const executable = root === undefined ? Deno.env.get("NOTIFICATION_SERVICE_BIN") : undefined;
  if (executable !== undefined && executable !== "") return [resolve(ROOT, executable)];
  const { tasks } = JSON.parse(await Deno.readTextFile(`${root ?? ROOT}/deno.json`));
  const task: unknown = typeof tasks?.start === "object" ? tasks.start.command : tasks?.start;
  const [deno, ...args] = typeof task === "string" ? task.split(/\s+/) : [];
  if (deno !== "deno" || /["'$&|;]/.test(args.join(""))) {
    throw new Error(`The task start in deno.json should be "deno run <flags> main.ts" in plain words, found: ${task}`);
  }
  return [Deno.execPath(), ...args];
}

/** The variables that Deno needs to find its cache and the registry. */
export function surroundings(): Record<string, string> {
  const names = ["PATH", "HOME", "TMPDIR", "DENO_DIR", "XDG_CACHE_HOME", "DENO_TLS_CA_STORE", "SSL_CERT_FILE"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
}
