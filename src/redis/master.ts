/**
 * The one Redis server to which all connections of this process lead (docs/contract.md, section 6).
 *
 * Each connection reports which server it has reached before it is used. A replica is refused. When one connection has
 * reached another server than the others, or its server answers as a replica, the connections to the old server are
 * made again, also those that only read or wait.
 */

/** What `INFO` says about a server; members are `undefined` if the user may not call it. */
export interface ServerIdentity {
  readonly role?: string | undefined;
  /** New at each start of the server. */
  readonly runId?: string | undefined;
}

export interface Follower {
  /** Closes the connection and makes a new one; open calls reject with the reason. */
  reconnect(reason: string): void;
}

/** Redis is reachable, but the service can't work with this server. */
export class UnsuitableRedis extends Error {
  override readonly name = "UnsuitableRedis";
  /** What the operator can do. */
  readonly advice: string;

  constructor(message: string, { advice }: { readonly advice: string }) {
    super(message);
    this.advice = advice;
  }
}

const DEMOTED = "The server is no longer a master";
const MOVED = "The address leads to another server";

export class RedisMaster {
  /** The run id of the server of each connection that is in use. */
  readonly #servers = new Map<Follower, string | undefined>();

  /** Call this when a new connection has reached a server. Returns why the server is refused, or `undefined`. */
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

  /** Call this when the connection was closed. */
  closed(connection: Follower): void {
    this.#servers.delete(connection);
  }

  /** Call this when the connection's server has answered that it is no longer a master. */
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
