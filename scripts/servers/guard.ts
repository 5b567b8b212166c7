/**
 * The process and the folder that a server owns → a guard, a small `sh` in a session of its own that reads a pipe from
 * this process.
 *
 * When the pipe ends, which it does however this process ends (disposal, return, exception, Ctrl-C, SIGKILL), the
 * watched process is ended and the folder is gone within seconds.
 */

const SCRIPT = `
trap '' INT TERM HUP
watched=
while read -r verb pid signal; do
  case $verb in
    watch) watched=$pid ends=$signal ;;
    forget) watched= ;;
  esac
done
if [ -n "$watched" ]; then
  kill -s "$ends" "$watched"
  kill -s CONT "$watched"
  for step in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$watched" || break
    sleep 0.1
  done
  kill -s KILL "$watched"
fi
[ -z "$1" ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`;

/** Stands behind one process at a time and, if a folder is given, behind that folder. */
export class Guard implements AsyncDisposable {
  readonly #shell: Deno.ChildProcess;
  readonly #pipe: WritableStreamDefaultWriter<Uint8Array>;

  constructor(folder = "") {
    this.#shell = new Deno.Command("sh", {
      args: ["-c", SCRIPT, "guard", folder],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    this.#shell.unref();
    this.#pipe = this.#shell.stdin.getWriter();
  }

  /** From now on `pid` is ended by `signal`, and two seconds later by SIGKILL, when this process is gone. */
  async watch(pid: number, signal: "KILL" | "QUIT"): Promise<void> {
    await this.#write(`watch ${pid} ${signal}\n`);
  }

  /** The process has ended: its id may belong to another one soon. */
  async forget(): Promise<void> {
    await this.#write("forget\n");
  }

  /** Ends the watched process, removes the folder and returns when both are gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pipe.close();
    this.#shell.ref();
    await this.#shell.status;
  }

  async #write(line: string): Promise<void> {
    await this.#pipe.write(new TextEncoder().encode(line));
  }
}
