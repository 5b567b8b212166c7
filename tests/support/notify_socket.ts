// In: a value of NOTIFY_SOCKET (a path, or `@` and an abstract name). Out: a real datagram socket there, and the
// received notifications in their order. Guaranteed: nothing is lost while it is open; the file is removed when it is
// disposed of. Python opens the socket, because it can bind an abstract one with every version of Deno.

import { eventually } from "./wait.ts";

const RECEIVE = `
import os, socket, sys
place = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\\0" + place[1:] if place[0] == "@" else place)
print("bound", flush=True)
while True:
    print(receiver.recv(65536).decode().replace("\\n", " "), flush=True)
`;

export class NotifySocket implements AsyncDisposable {
  readonly place: string;
  /** Each notification's lines, joined by a space. */
  readonly received: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(place: string) {
    this.place = place;
    this.#child = new Deno.Command("python3", {
      args: ["-c", RECEIVE, place],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reading = this.#read();
  }

  static async open(place: string): Promise<NotifySocket> {
    const socket = new NotifySocket(place);
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
    if (!this.place.startsWith("@")) await Deno.remove(this.place);
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
