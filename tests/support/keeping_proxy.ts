/**
 * The addresses of two Redis servers, one after the other → an address whose client connections stay open while they
 * move from one server to the other, as with some proxies and service meshes.
 *
 * Each connection changes between two commands, logged in and in the same database again.
 */
import net from "node:net";
import { Buffer } from "node:buffer";

export interface KeepingProxyOptions {
  readonly port: number;
  readonly password: string;
  readonly db: number;
}

export class KeepingProxy implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #connections = new Set<KeptConnection>();
  #target: KeepingProxyOptions;

  private constructor(target: KeepingProxyOptions) {
    this.#target = target;
    this.#server = net.createServer((client) => {
      const connection = new KeptConnection(client, this.#target);
      this.#connections.add(connection);
      client.on("close", () => this.#connections.delete(connection));
    });
  }

  static async open(target: KeepingProxyOptions): Promise<KeepingProxy> {
    const proxy = new KeepingProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Resolves when every connection is connected to the new server. */
  async changeTo(target: KeepingProxyOptions): Promise<void> {
    this.#target = target;
    await Promise.all([...this.#connections].map((connection) => connection.changeTo(target)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.end();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class KeptConnection {
  readonly #client: net.Socket;
  #upstream: net.Socket;
  #commands = Buffer.alloc(0);
  #replies = Buffer.alloc(0);
  #unanswered = 0;
  #isChanging = false;
  #next: { readonly target: KeepingProxyOptions; readonly done: () => void } | undefined;

  constructor(client: net.Socket, target: KeepingProxyOptions) {
    this.#client = client;
    this.#upstream = this.#connect(target);
    client.on("error", () => {});
    client.on("close", () => this.#upstream.destroy());
    client.on("data", (data) => {
      this.#commands = Buffer.concat([this.#commands, data as Buffer]);
      void this.#forward();
    });
  }

  async changeTo(target: KeepingProxyOptions): Promise<void> {
    await new Promise<void>((done) => {
      this.#next = { target, done };
      void this.#forward();
    });
  }

  end(): void {
    this.#client.destroy();
  }

  #connect({ port }: KeepingProxyOptions): net.Socket {
    const upstream = net.connect(port, "127.0.0.1");
    upstream.on("error", () => {});
    upstream.on("close", () => upstream === this.#upstream && this.#client.destroy());
    upstream.on("data", (data) => this.#answered(data as Buffer));
    return upstream;
  }

  #answered(data: Buffer): void {
    this.#replies = Buffer.concat([this.#replies, data]);
    for (;;) {
      const end = endOfValue(this.#replies, 0);
      if (end < 0) return;
      const reply = this.#replies.subarray(0, end);
      this.#replies = this.#replies.subarray(end);
      this.#unanswered--;
      this.#client.write(reply);
      void this.#forward();
    }
  }

  async #forward(): Promise<void> {
    if (this.#isChanging) return;
    if (this.#next !== undefined) {
      if (this.#unanswered > 0) return;
      const { target, done } = this.#next;
      this.#next = undefined;
      await this.#change(target);
      done();
    }
    for (;;) {
      const end = endOfValue(this.#commands, 0);
      if (end < 0) return;
      this.#unanswered++;
      this.#upstream.write(this.#commands.subarray(0, end));
      this.#commands = this.#commands.subarray(end);
    }
  }

  async #change(target: KeepingProxyOptions): Promise<void> {
    const old = this.#upstream;
    this.#isChanging = true;
    const upstream = net.connect(target.port, "127.0.0.1");
    upstream.on("error", () => {});
    await new Promise<void>((resolve) => {
      let seen = Buffer.alloc(0);
      upstream.on("data", function logIn(data) {
        seen = Buffer.concat([seen, data as Buffer]);
        if (seen.toString() !== "+OK\r\n+OK\r\n") return;
        upstream.off("data", logIn);
        resolve();
      });
      upstream.write(`AUTH ${target.password}\r\nSELECT ${target.db}\r\n`);
    });
    this.#upstream = upstream;
    this.#isChanging = false;
    upstream.on("close", () => upstream === this.#upstream && this.#client.destroy());
    upstream.on("data", (data) => this.#answered(data as Buffer));
    old.destroy();
  }
}

/** The end of the RESP 2 value that begins at `from`; -1 if it is not complete yet. */
function endOfValue(buffer: Buffer, from: number): number {
  const line = buffer.indexOf("\r\n", from);
  if (line < 0) return -1;
  const kind = String.fromCharCode(buffer[from]!);
  const number = Number(buffer.toString("latin1", from + 1, line));
  if (kind === "$") return number < 0 ? line + 2 : line + 2 + number + 2 <= buffer.length ? line + 2 + number + 2 : -1;
  if (kind !== "*") return line + 2;
  let end = line + 2;
  for (let at = 0; at < number && end >= 0; at++) end = endOfValue(buffer, end);
  return end;
}
