/**
 * Ports of 127.0.0.1, and optionally a stream that all bytes pass through → one port that leads to one of them at a
 * time, like a virtual address or a proxy.
 *
 * Existing connections stay when it moves; only new ones reach the other server.
 */
import net from "node:net";
import type { Duplex } from "node:stream";

export interface MovingAddressOptions {
  /** Makes what the bytes of one direction of a connection pass through. */
  readonly through?: () => Duplex;
}

export class MovingAddress implements AsyncDisposable {
  /** The port that new connections reach. */
  target: number;
  readonly #listener: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(target: number, { through }: MovingAddressOptions) {
    this.target = target;
    this.#listener = net.createServer((client) =>
      joinSockets(client, net.connect(this.target, "127.0.0.1"), this.#sockets, through)
    );
  }

  static async open(target: number, options: MovingAddressOptions = {}): Promise<MovingAddress> {
    const address = new MovingAddress(target, options);
    await new Promise<void>((resolve) => address.#listener.listen(0, "127.0.0.1", resolve));
    return address;
  }

  get port(): number {
    return (this.#listener.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#listener.close(resolve));
  }
}

/** All that one side sends reaches the other; when one closes, so does the other. `sockets` holds those that are open. */
export function joinSockets(
  client: net.Socket,
  server: net.Socket,
  sockets: Set<net.Socket>,
  through?: () => Duplex,
): void {
  for (const [from, to] of [[client, server], [server, client]] as const) {
    sockets.add(from);
    from.on("error", () => {}).on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
    from.setNoDelay(true);
    if (through === undefined) from.pipe(to);
    else from.pipe(through()).pipe(to);
  }
}
