/**
 * How ioredis reaches a server: by TCP, with a decision about the server before the connection is used. ioredis itself
 * sends `INFO` and holds all calls back until the decision.
 */
import net from "node:net";
import { AbstractConnector } from "ioredis";

export interface ConnectorOptions {
  readonly host: string;
  readonly port: number;
  /** A connection that is being closed is destroyed after this time. */
  readonly disconnectTimeoutMs: number;
  /** @param info fields of `INFO` by name; empty if the user may not call it */
  readonly isTaken: (info: Readonly<Record<string, string>>) => boolean;
}

export function connectorClass({ host, port, disconnectTimeoutMs, isTaken }: ConnectorOptions) {
  return class extends AbstractConnector {
    constructor() {
      super(disconnectTimeoutMs);
    }

    override check(info: Readonly<Record<string, string>>): boolean {
      return isTaken(info);
    }

    override connect(): Promise<net.Socket> {
      // Connects to the first address of the name that answers, IPv4 or IPv6.
      const stream = net.createConnection({ host, port, autoSelectFamily: true });
      // ioredis reads `firstError` if the attempt fails before it has a listener of its own.
      stream.once("error", (error) => this.firstError = error);
      this.connecting = true;
      this.stream = stream;
      return Promise.resolve(stream);
    }
  };
}
