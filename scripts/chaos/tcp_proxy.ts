/**
 * A target port on 127.0.0.1 → another port whose connections are forwarded to the target. The forwarding can be
 * blocked; neither end is notified of this.
 *
 * While the proxy is frozen, it forwards no byte and no end of a connection, in either direction; it accepts new
 * connections but does not connect them to the target. After a thaw, what was held back is either delivered in order or
 * never delivered.
 */
import { freePort } from "../servers/free_port.ts";

/**
 * Longer than every time-out of the harness, so that a client which waits forever on a dead connection is detected
 * before.
 */
const DEAD_LINK_MS = 120_000;

export class TcpProxy implements Disposable {
  readonly port: number;
  /** New connections are forwarded to this port. */
  target: number;
  readonly #links = new Set<Link>();
  readonly #deadLinks: ReturnType<typeof setTimeout>[] = [];
  #listener: Deno.TcpListener | undefined;
  #gate: Gate = new Gate();
  #awaited: { readonly isMatch: (text: string) => boolean; readonly onHeld: (text: string) => void } | undefined;

  constructor(target: number) {
    this.target = target;
    for (let attempt = 1;; attempt++) {
      const port = freePort();
      try {
        this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
        this.port = port;
        break;
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse) || attempt === 10) throw error;
      }
    }
    this.#take(this.#listener);
  }

  /** The number of open connections. */
  get size(): number {
    return this.#links.size;
  }

  /** Makes every connection half-open. */
  freeze(): void {
    this.#gate.shut();
  }

  /** @param lose whether the present connections stay dead, as after a firewall has dropped its state */
  thaw({ lose }: { lose: boolean }): void {
    const gate = this.#gate;
    if (!lose) return gate.open();
    this.#gate = new Gate();
    this.#deadLinks.push(setTimeout(() => {
      for (const link of this.#links) if (link.gate === gate) link.close();
    }, DEAD_LINK_MS));
  }

  /**
   * Freezes the proxy as soon as a client sends bytes whose text `isMatch` accepts, and holds these bytes back.
   * Resolves with the text, or with `undefined` and without a freeze if no such bytes come within `withinSeconds`.
   */
  freezeAt(isMatch: (text: string) => boolean, withinSeconds: number): Promise<string | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#awaited = undefined;
        resolve(undefined);
      }, withinSeconds * 1000);
      const onHeld = (text: string) => {
        clearTimeout(timer);
        resolve(text);
      };
      this.#awaited = { isMatch, onHeld };
    });
  }

  /** Closes all connections and refuses new ones. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.cut();
  }

  /** Closes all connections and returns their number. New connections are still accepted. */
  cut(): number {
    for (const link of this.#links) link.close();
    return this.#links.size;
  }

  accept(): void {
    if (this.#listener !== undefined) return;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.port });
    this.#take(this.#listener);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#deadLinks) clearTimeout(timer);
    this.refuse();
  }

  async #take(listener: Deno.TcpListener): Promise<void> {
    try {
      for await (const connection of listener) this.#link(connection);
    } catch {
      // the listener was closed while it accepted a connection
    }
  }

  async #link(client: Deno.TcpConn): Promise<void> {
    const link = new Link(client, { gate: this.#gate, onBytes: (bytes) => this.#inspect(bytes) });
    this.#links.add(link);
    await link.run(this.target);
    this.#links.delete(link);
  }

  #inspect(bytes: Uint8Array): void {
    const awaited = this.#awaited;
    if (awaited === undefined) return;
    const text = new TextDecoder().decode(bytes);
    if (!awaited.isMatch(text)) return;
    this.#awaited = undefined;
    this.freeze();
    awaited.onHeld(text);
  }
}

class Gate {
  #opening: PromiseWithResolvers<void> | undefined;

  /** `undefined` while the gate is open. */
  get opening(): Promise<void> | undefined {
    return this.#opening?.promise;
  }

  shut(): void {
    this.#opening ??= Promise.withResolvers<void>();
  }

  open(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }
}

class Link {
  readonly gate: Gate;
  /** Called with bytes from the client, before they are forwarded. */
  readonly #onBytes: (bytes: Uint8Array) => void;
  readonly #client: Deno.TcpConn;
  #server: Deno.TcpConn | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(client: Deno.TcpConn, { gate, onBytes }: { gate: Gate; onBytes: (bytes: Uint8Array) => void }) {
    this.#client = client;
    this.gate = gate;
    this.#onBytes = onBytes;
  }

  /** Resolves when both directions have ended. */
  async run(target: number): Promise<void> {
    try {
      await this.#passable();
      this.#server = await Deno.connect({ hostname: "127.0.0.1", port: target });
      for (const end of [this.#client, this.#server]) end.setNoDelay(true);
      await Promise.all([this.#pump(this.#client, this.#server), this.#pump(this.#server, this.#client)]);
    } catch {
      // One end has failed: close() ends the connection of the other.
    }
    this.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#closed.resolve();
    for (const end of [this.#client, this.#server]) {
      try {
        end?.close();
      } catch {
        // already closed
      }
    }
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const chunk = new Uint8Array(64 * 1024);
    for (;;) {
      const length = await from.read(chunk).catch(() => null);
      if (from === this.#client) this.#onBytes(chunk.subarray(0, length ?? 0));
      await this.#passable();
      if (length === null) return await to.closeWrite();
      for (let sent = 0; sent < length;) sent += await to.write(chunk.subarray(sent, length));
    }
  }

  async #passable(): Promise<void> {
    while (this.gate.opening !== undefined) {
      await Promise.race([this.gate.opening, this.#closed.promise]);
      if (this.#isClosed) throw new Error("The link was closed");
    }
  }
}
