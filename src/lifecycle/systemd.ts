/**
 * The service's state → the supervisor, by datagrams in the form of sd_notify(3).
 *
 * Nothing here throws or makes the caller wait. `onProblem` is called once for a notification that can't be sent.
 * Without a socket nothing is sent.
 *
 * A datagram is sent from a socket of our own. Deno 2.9 binds it in the abstract namespace, which needs only the
 * permission for the network. Deno 2.7 refuses the NUL of an abstract name, for binding and for sending: there the
 * socket is a file in the runtime directory, and an abstract NOTIFY_SOCKET can't be reached. (There is no other way:
 * node:net connects streams only, and FFI or systemd-notify would need a permission that includes all others.)
 */
import { every } from "../clock.ts";
import type { Supervisor } from "../config/supervisor.ts";

export interface SystemdOptions {
  readonly supervisor: Supervisor;
  readonly onProblem: (reason: string) => void;
}

/** While a step takes long, the supervisor's time-out is extended by this much again and again. */
const EXTENSION_MS = 30_000;

export class Systemd {
  readonly #supervisor: Supervisor;
  readonly #onProblem: (reason: string) => void;
  readonly #target: string | undefined;
  #sender: Promise<Sender | undefined> | undefined;
  /** Notifications are sent in the order of the calls. */
  #sending: Promise<void> = Promise.resolve();
  #endWatchdog: (() => void) | undefined;
  #isProblemReported = false;

  constructor({ supervisor, onProblem }: SystemdOptions) {
    this.#supervisor = supervisor;
    this.#onProblem = onProblem;
    const { notifySocket } = supervisor;
    this.#target = notifySocket?.startsWith("@") ? `\0${notifySocket.slice(1)}` : notifySocket;
    if (notifySocket?.startsWith("/") && !mayWrite(notifySocket)) {
      this.#problem(
        `NOTIFY_SOCKET is out of reach: this executable may write to /run/systemd/notify and below ` +
          `/run/notification-service alone; what to do instead: docs/deployment.md, Other supervisors`,
      );
      this.#target = undefined;
    }
    if (notifySocket !== undefined && !/^[/@]./.test(notifySocket)) {
      this.#problem(`NOTIFY_SOCKET is neither a path nor an abstract name`);
      this.#target = undefined;
    }
  }

  /** Whether there is a supervisor to notify. */
  get isListening(): boolean {
    return this.#target !== undefined;
  }

  /** Reports that the start-up has succeeded. */
  ready(): void {
    this.#notify("READY=1");
  }

  /** Sets the line that `systemctl status` shows. */
  status(text: string): void {
    this.#notify(`STATUS=${text.replace(/\s+/g, " ")}`);
  }

  stopping(): void {
    this.#notify("STOPPING=1\nSTATUS=Stopping");
  }

  /** Does work that may take longer than the supervisor waits, and extends its time-out meanwhile. */
  async whileExtendingTimeout<Value>(work: () => Promise<Value>, everyMs = EXTENSION_MS / 3): Promise<Value> {
    if (!this.isListening) return await work();
    const extend = () => this.#notify(`EXTEND_TIMEOUT_USEC=${EXTENSION_MS * 1000}`);
    extend();
    const end = every(everyMs, extend);
    try {
      return await work();
    } finally {
      end();
    }
  }

  /** Sends signs of life, twice in each watchdog period, as long as `stuckLoop` returns no loop. */
  feedWatchdog({ stuckLoop, onStuck }: { stuckLoop: () => string | undefined; onStuck: (loop: string) => void }): void {
    const { watchdogMs } = this.#supervisor;
    if (watchdogMs === undefined || !this.isListening) return;
    let reported: string | undefined;
    const feed = () => {
      const stuck = stuckLoop();
      if (stuck === undefined) this.#notify("WATCHDOG=1");
      else if (stuck !== reported) onStuck(stuck);
      reported = stuck;
    };
    feed();
    this.#endWatchdog = every(watchdogMs / 2, feed);
  }

  /** Ends the signs of life and waits until all notifications are sent. */
  async close(): Promise<void> {
    this.#endWatchdog?.();
    await this.#sending;
    const sender = await this.#sender;
    this.#sender = undefined;
    sender?.close();
  }

  #notify(message: string): void {
    const target = this.#target;
    if (target === undefined) return;
    this.#sending = this.#sending.then(async () => {
      const sender = await (this.#sender ??= this.#openSender());
      try {
        await sender?.send(message, target);
      } catch (error) {
        this.#problem(`a notification could not be sent: ${reasonOf(error)}`);
      }
    });
  }

  // deno-lint-ignore require-await -- an async function never throws, it rejects
  async #openSender(): Promise<Sender | undefined> {
    const { runtimeDirectory } = this.#supervisor;
    const name = `notification-service-${crypto.randomUUID()}`;
    const reasons: string[] = [];
    const places = [`\0${name}`, ...(runtimeDirectory === undefined ? [] : [`${runtimeDirectory}/${name}`])];
    for (const path of places) {
      try {
        return new Sender(path);
      } catch (error) {
        reasons.push(reasonOf(error));
      }
      // A process that can't bind an abstract name can't send to one either.
      if (this.#target?.startsWith("\0")) return this.#abstractUnsupported(reasons.join());
    }
    const hint = runtimeDirectory === undefined ? " (a RUNTIME_DIRECTORY of its own would do)" : "";
    this.#problem(`no socket to notify from: ${reasons.join("; ")}${hint}`);
    return undefined;
  }

  #abstractUnsupported(reason: string): undefined {
    const { deno } = Deno.version;
    this.#problem(
      `an abstract NOTIFY_SOCKET isn't supported by this build (Deno ${deno}): ${reason}; ` +
        `give it a path, or compile with Deno 2.9 or newer`,
    );
  }

  #problem(reason: string): void {
    if (this.#isProblemReported) return;
    this.#isProblemReported = true;
    this.#onProblem(reason);
  }
}

class Sender {
  readonly #path: string;
  readonly #socket: Deno.DatagramConn;

  constructor(path: string) {
    this.#path = path;
    this.#socket = Deno.listenDatagram({ transport: "unixpacket", path });
  }

  async send(message: string, target: string): Promise<void> {
    await this.#socket.send(new TextEncoder().encode(message), { transport: "unixpacket", path: target });
  }

  close(): void {
    this.#socket.close();
    if (this.#path.startsWith("\0")) return;
    try {
      Deno.removeSync(this.#path);
    } catch {
      // systemd removes the folder with the service.
    }
  }
}

/** Decided by the permissions that were compiled in. */
function mayWrite(path: string): boolean {
  return Deno.permissions.querySync({ name: "write", path }).state === "granted";
}

function reasonOf(error: unknown): string {
  // The NUL of an abstract name would end the line for many readers.
  return (error instanceof Error ? error.message : String(error)).replaceAll("\0", "@");
}
