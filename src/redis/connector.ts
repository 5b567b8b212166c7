/**
 * How ioredis reaches a server: by TCP, with a decision about the server before the connection is used. ioredis itself asks
 * for `INFO` and lets no call pass before the decision.
 */
import net from "node:net";
import { AbstractConnector } from "ioredis";

export interface ConnectorOptions {
  readonly host: string;
  readonly port: number;
  /** After which a connection that is being closed is destroyed. */
  readonly disconnectTimeoutMs: number;
  /** @param info fields of `INFO` by name; empty where the user may not ask for it */
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
      // Of a name's addresses the first that answers, in whichever family it is.
      const stream = net.createConnection({ host, port, autoSelectFamily: true });
      // ioredis looks here where the attempt has failed before it listens itself.
      stream.once("error", (error) => this.firstError = error);
      this.connecting = true;
      this.stream = stream;
      return Promise.resolve(stream);
    }
  };
}
