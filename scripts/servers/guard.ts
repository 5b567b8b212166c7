/**
 * The process and the folder of a server → a guard: a small `sh` process in its own session, which reads from a pipe
 * whose other end this process holds.
 *
 * The pipe is closed on disposal, and when this process ends in any way (return, exception, Ctrl-C, SIGKILL). The guard
 * then ends the watched process and deletes the folder, within seconds.
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

/** Guards one process at a time and, if a folder is given, this folder. */
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

  /** From now on, the guard ends `pid` when this process has ended: by `signal`, and two seconds later by SIGKILL. */
  async watch(pid: number, signal: "KILL" | "QUIT"): Promise<void> {
    await this.#write(`watch ${pid} ${signal}\n`);
  }

  /** Call this when the watched process has ended: another process may get its id soon. */
  async forget(): Promise<void> {
    await this.#write("forget\n");
  }

  /** Ends the watched process and deletes the folder; resolves when both are done. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pipe.close();
    this.#shell.ref();
    await this.#shell.status;
  }

  async #write(line: string): Promise<void> {
    await this.#pipe.write(new TextEncoder().encode(line));
  }
}
