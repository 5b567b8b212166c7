/**
 * The service's state → the supervisor, by datagrams in the form of sd_notify(3).
 *
 * Nothing here throws or makes anybody wait: a notification that can't be sent is told once by `onProblem`. Without a
 * socket all of it does nothing.
 *
 * A datagram needs a socket of one's own to be sent from. Deno 2.9 binds one in the abstract namespace, by the
 * permission for the network alone. Deno 2.7 refuses the NUL of an abstract name, to bind and to send: there it is a file
 * in the runtime directory, and an abstract NOTIFY_SOCKET is out of reach. (Its other ways don't lead there: node:net
 * connects streams only, FFI and systemd-notify would each take a permission that is as good as all of them.)
 */
import { every } from "../clock.ts";
import type { Supervisor } from "../config/supervisor.ts";

export interface SystemdOptions {
  readonly supervisor: Supervisor;
  readonly onProblem: (reason: string) => void;
}

/** While something takes long, its bound is moved this far again and again. */
const EXTENSION_MS = 30_000;

export class Systemd {
  readonly #supervisor: Supervisor;
  readonly #onProblem: (reason: string) => void;
  readonly #target: string | undefined;
  #sender: Promise<Sender | undefined> | undefined;
  /** Notifications arrive in the order in which they were given. */
  #sending: Promise<void> = Promise.resolve();
  #endWatchdog: (() => void) | undefined;
  #problemTold = false;

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

  /** Whether anybody listens. */
  get isListening(): boolean {
    return this.#target !== undefined;
  }

  /** The start-up has succeeded. */
  ready(): void {
    this.#notify("READY=1");
  }

  /** One line for people, as `systemctl status` shows it. */
  status(text: string): void {
    this.#notify(`STATUS=${text.replace(/\s+/g, " ")}`);
  }

  stopping(): void {
    this.#notify("STOPPING=1\nSTATUS=Stopping");
  }

  /** Does work that may take longer than the supervisor waits, and asks it for patience meanwhile. */
  async patiently<Value>(work: () => Promise<Value>, everyMs = EXTENSION_MS / 3): Promise<Value> {
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

  /** Gives signs of life twice in the watchdog's time for as long as `stuckLoop` names none. */
  feedWatchdog({ stuckLoop, onStuck }: { stuckLoop: () => string | undefined; onStuck: (loop: string) => void }): void {
    const { watchdogMs } = this.#supervisor;
    if (watchdogMs === undefined || !this.isListening) return;
    let told: string | undefined;
    const feed = () => {
      const stuck = stuckLoop();
      if (stuck === undefined) this.#notify("WATCHDOG=1");
      else if (stuck !== told) onStuck(stuck);
      told = stuck;
    };
    feed();
    this.#endWatchdog = every(watchdogMs / 2, feed);
  }

  /** Ends the signs of life and waits until what was given is sent. */
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

  // deno-lint-ignore require-await -- it throws nothing, and that is all there is to wait for
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
      // Who can't bind an abstract name can't send to one either, from wherever it is.
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
    if (this.#problemTold) return;
    this.#problemTold = true;
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
      // The folder goes with the service.
    }
  }
}

/** By the permissions that were compiled in. */
function mayWrite(path: string): boolean {
  return Deno.permissions.querySync({ name: "write", path }).state === "granted";
}

function reasonOf(error: unknown): string {
  // An abstract name's NUL would end the line for whoever reads it.
  return (error instanceof Error ? error.message : String(error)).replaceAll("\0", "@");
}
