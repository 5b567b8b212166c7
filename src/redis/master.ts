/**
 * The one Redis server that all connections of this process are to: docs/contract.md, section 6.
 *
 * Each connection says which server it has reached before it is used. A replica is not taken. What one connection learns the
 * others follow: when it has reached another server than they, or when its server answers as a replica, the connections to the
 * server of before are made again, those that only read or wait too.
 */

/** What `INFO` says of a server; members are absent where the user may not ask. */
export interface ServerIdentity {
  readonly role?: string | undefined;
  /** New at each start of the server. */
  readonly runId?: string | undefined;
}

export interface Follower {
  /** Gives the connection up for a new one, for a reason that its calls then reject with. */
  reconnect(reason: string): void;
}

/** Redis is reachable, and is none that this service can work with. */
export class UnsuitableRedis extends Error {
  override readonly name = "UnsuitableRedis";
  /** What to do about it. */
  readonly advice: string;

  constructor(message: string, { advice }: { readonly advice: string }) {
    super(message);
    this.advice = advice;
  }
}

const DEMOTED = "The server is no master any more";
const MOVED = "The address leads to another server";

export class RedisMaster {
  /** The server of each connection that is in use. */
  readonly #servers = new Map<Follower, string | undefined>();

  /** A new connection has reached a server. Returns why the server is not taken, if it is not. */
  reached(connection: Follower, { role, runId }: ServerIdentity): UnsuitableRedis | undefined {
    if (role !== undefined && role !== "master") {
      this.#leave(DEMOTED, (server) => server === runId);
      return new UnsuitableRedis(`A master is needed, this server's role is ${role}`, {
        advice: "let NOTIFICATION_REDIS_MASTER_ADDR name the master",
      });
    }
    this.#servers.set(connection, runId);
    if (runId !== undefined) this.#leave(MOVED, (server) => server !== undefined && server !== runId);
    return undefined;
  }

  /** The connection was closed. */
  closed(connection: Follower): void {
    this.#servers.delete(connection);
  }

  /** The connection's server has answered that it is no master any more. */
  demoted(connection: Follower): void {
    if (!this.#servers.has(connection)) return;
    const demoted = this.#servers.get(connection);
    this.#leave(DEMOTED, (server) => server === demoted);
  }

  #leave(reason: string, isLeft: (server: string | undefined) => boolean): void {
    for (const [connection, server] of [...this.#servers]) {
      if (!isLeft(server)) continue;
      this.#servers.delete(connection);
      connection.reconnect(reason);
    }
  }
}
