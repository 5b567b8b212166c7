/**
 * The port of a PostgreSQL server on 127.0.0.1 → another port that behaves like a session pooler: its connections to
 * the server outlive those of clients, and are reused without a reset query. It can also refuse clients with a pooler's
 * errors.
 *
 * The statements of a client reach one server connection unchanged. The prepared statements and settings of the
 * previous client still exist there, as with such a pooler.
 */
import { Buffer } from "node:buffer";
import net from "node:net";

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

export class PostgresFront implements AsyncDisposable {
  /** While set, a new connection is answered with this error instead. */
  refusal: Refusal | undefined;
  readonly #target: number;
  readonly #listener: net.Server;
  readonly #clients = new Set<net.Socket>();
  readonly #sessions = new Set<ServerSession>();

  constructor(target: number) {
    this.#target = target;
    this.#listener = net.createServer((client) => this.#take(client));
  }

  static async open(target: number): Promise<PostgresFront> {
    const front = new PostgresFront(target);
    await new Promise<void>((resolve) => front.#listener.listen(0, "127.0.0.1", resolve));
    return front;
  }

  get port(): number {
    return (this.#listener.address() as net.AddressInfo).port;
  }

  /** The number of connections to the server. */
  get serverConnections(): number {
    return this.#sessions.size;
  }

  /** The URL that leads through here. */
  through(dsn: string): string {
    const url = new URL(dsn);
    url.port = String(this.port);
    return url.href;
  }

  /** Closes the clients' connections. */
  cut(): void {
    for (const client of this.#clients) client.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    for (const session of this.#sessions) session.socket.destroy();
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  #take(client: net.Socket): void {
    this.#clients.add(client);
    client.on("error", () => {}).on("close", () => this.#clients.delete(client));
    let session: ServerSession | undefined;
    const messages = new Framing({ hasType: false });
    client.on("data", (bytes) => {
      for (const message of messages.add(bytes as Buffer)) {
        if (session === undefined) {
          messages.hasType = true;
          if (this.refusal !== undefined) return void client.end(errorResponse(this.refusal));
          session = this.#sessionFor(client, message);
        } else if (message[0] !== TERMINATE) {
          session.socket.write(message);
        }
      }
    });
    client.on("close", () => session?.release());
  }

  #sessionFor(client: net.Socket, startUp: Buffer): ServerSession {
    const idle = [...this.#sessions].find((session) => session.isIdle);
    if (idle !== undefined) {
      idle.lendTo(client);
      return idle;
    }
    const session = new ServerSession(net.connect(this.#target, "127.0.0.1"), client);
    session.socket.write(startUp);
    session.socket.on("close", () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }
}

const TERMINATE = "X".charCodeAt(0);
const READY = "Z".charCodeAt(0);
const AUTHENTICATION = "R".charCodeAt(0);
const IDLE = "I".charCodeAt(0);
const AUTHENTICATION_OK = Buffer.from([AUTHENTICATION, 0, 0, 0, 8, 0, 0, 0, 0]);

class ServerSession {
  readonly socket: net.Socket;
  #client: net.Socket | undefined;
  /** The server's messages between the authentication and ReadyForQuery. */
  readonly #greeting: Buffer[] = [];
  #isGreeted = false;
  /** The last transaction status from the server. */
  #status = 0;

  constructor(socket: net.Socket, client: net.Socket) {
    this.socket = socket;
    this.#client = client;
    const messages = new Framing({ hasType: true });
    socket.on("error", () => {}).on("close", () => this.#client?.destroy());
    socket.on("data", (bytes) => {
      for (const message of messages.add(bytes as Buffer)) this.#took(message);
    });
  }

  get isIdle(): boolean {
    return this.#client === undefined && this.#status === IDLE;
  }

  lendTo(client: net.Socket): void {
    this.#client = client;
    client.write(Buffer.concat([AUTHENTICATION_OK, ...this.#greeting]));
  }

  /** Call this when the client has closed; an unfinished statement ends with the connection. */
  release(): void {
    this.#client = undefined;
    if (this.#status !== IDLE) this.socket.destroy();
  }

  #took(message: Buffer): void {
    if (!this.#isGreeted && message[0] !== AUTHENTICATION) this.#greeting.push(message);
    if (message[0] === READY) {
      this.#isGreeted = true;
      this.#status = message[5]!;
    }
    this.#client?.write(message);
  }
}

/** Bytes → whole messages. The first one of a client has no type. */
class Framing {
  hasType: boolean;
  #rest: Buffer = Buffer.alloc(0);

  constructor({ hasType }: { hasType: boolean }) {
    this.hasType = hasType;
  }

  *add(bytes: Uint8Array): Iterable<Buffer> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const head = this.hasType ? 5 : 4;
      if (this.#rest.length < head) return;
      const length = head - 4 + this.#rest.readInt32BE(head - 4);
      if (this.#rest.length < length) return;
      const message = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      yield message;
    }
  }
}

function errorResponse({ code, message }: Refusal): Buffer {
  const body = Buffer.from(`SFATAL\0C${code}\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write("E");
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
