/**
 * A command line of the service → the command on a real terminal, made by script(1), which the test reads and types on.
 *
 * The output is kept. The command ends on disposal.
 */
import { resolve } from "node:path";
import { type Environment, serviceCommand } from "./service_process.ts";
import { eventually } from "./wait.ts";

export interface TerminalOptions {
  readonly env: Environment;
  /** Default: 24. */
  readonly rows?: number;
  /** Default: 80. */
  readonly columns?: number;
  /** Commands of the shell before it runs the command. */
  readonly before?: string;
}

const ROOT = resolve(import.meta.dirname!, "../..");
/** Moves to the terminal's first cell. */
const HOME = "\x1b[H";

export class Terminal implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #keyboard: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #printed = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#keyboard = child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Starts the command and returns at once. */
  static async open(
    args: readonly string[],
    { env, rows = 24, columns = 80, before = "true" }: TerminalOptions,
  ): Promise<Terminal> {
    const program = [...await serviceCommand(), ...args].map(quoted).join(" ");
    // A terminal of 0 rows and columns otherwise.
    const command = `stty rows ${rows} cols ${columns} && ${before} && exec ${program}`;
    const { NO_COLOR: _, ...surroundings } = Deno.env.toObject();
    return new Terminal(
      new Deno.Command("script", {
        args: ["--quiet", "--return", "--command", command, "/dev/null"],
        cwd: ROOT,
        clearEnv: true,
        env: { ...surroundings, TERM: "xterm-256color", COLUMNS: String(columns), SHELL: "/bin/sh", ...env },
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn(),
    );
  }

  /** The whole output, of standard output and standard error, with the characters typed. */
  get printed(): string {
    return this.#printed;
  }

  /** The output after each move to the terminal's first cell, without a last page that is incomplete. */
  get pages(): string[] {
    return this.#printed.split(HOME).slice(1).filter((page) => page.endsWith("\x1b[J\r\n"));
  }

  /** Returns once the condition holds for the output. */
  async shows(condition: (terminal: this) => boolean): Promise<void> {
    await eventually(() => condition(this), { timeoutMs: 20_000, message: () => `It printed: ${this.#printed}` });
  }

  /** The process of the command that script(1) has started. */
  async pid(): Promise<number> {
    const children = await Deno.readTextFile(`/proc/${this.#child.pid}/task/${this.#child.pid}/children`);
    return Number(children.trim());
  }

  async type(keys: string): Promise<void> {
    await this.#keyboard.write(new TextEncoder().encode(keys));
  }

  /** Presses Ctrl-C and returns the exit code. */
  async interrupt(): Promise<number> {
    await this.type("\x03");
    return await this.exit();
  }

  /** The exit code, once the command has ended. */
  async exit(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#reading;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.exit();
    await this.#keyboard.abort();
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#printed += text;
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
