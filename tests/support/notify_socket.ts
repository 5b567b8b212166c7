/**
 * A value of NOTIFY_SOCKET (a path, or `@` and an abstract name) → a real datagram socket there, and the received
 * notifications in their order.
 *
 * Nothing is lost while it is open; the file is removed when it is disposed of. Python opens the socket, because it can
 * bind an abstract one with every version of Deno.
 */
import { eventually } from "./wait.ts";

const RECEIVE = `
import os, socket, sys
address = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\\0" + address[1:] if address[0] == "@" else address)
print("bound", flush=True)
while True:
    print(receiver.recv(65536).decode().replace("\\n", " "), flush=True)
`;

export class NotifySocket implements AsyncDisposable {
  readonly address: string;
  /** Each notification's lines, joined by a space. */
  readonly received: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(address: string) {
    this.address = address;
    this.#child = new Deno.Command("python3", {
      args: ["-c", RECEIVE, address],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reading = this.#read();
  }

  static async open(address: string): Promise<NotifySocket> {
    const socket = new NotifySocket(address);
    await eventually(() => socket.received[0] === "bound");
    socket.received.shift();
    return socket;
  }

  count(notification: string): number {
    return this.received.filter((line) => line === notification).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
    if (!this.address.startsWith("@")) await Deno.remove(this.address);
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      this.received.push(...lines);
    }
  }
}
