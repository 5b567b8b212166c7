/**
 * A connection to the Redis master on which every call ends, and which is made again by itself; if the master has
 * changed, all connections of the process are.
 *
 * A call resolves with the answer, or rejects with a {@link RedisError}: at once while there is no connection, after
 * the operation time-out when no answer comes. A connection without an answer is closed and made again. No call is sent
 * a second time, except by {@link RedisConnection.run} for a script that Redis does not know.
 */
import { createHash } from "node:crypto";
import { Redis } from "ioredis";
import { systemClock } from "../clock.ts";
import { isDefect } from "../lifecycle/defects.ts";
import { connectorClass } from "./connector.ts";
import { RedisError, replyCode } from "./failures.ts";
import { type Follower, RedisMaster, UnsuitableRedis } from "./master.ts";

export interface RedisSettings {
  readonly host: string;
  readonly port: number;
  readonly password: {
    reveal(): string;
    /** Reads the password from its file again, after the server has refused it. */
    readAgain?(): void;
  };
  readonly db: number;
  readonly operationTimeoutMs: number;
}

/** A connection that is being closed is destroyed after this time. */
const DISCONNECT_TIMEOUT_MS = 20;

export type Argument = string | number;

/** A Lua script and its SHA-1, by which Redis identifies it. */
export class Script {
  readonly source: string;
  readonly sha1: string;

  constructor(source: string) {
    this.source = source.trim();
    this.sha1 = createHash("sha1").update(this.source).digest("hex");
  }
}

/** The answers of a server that is no longer a master, to a write, a blocking call and a read. */
const REPLICA_CODES: ReadonlySet<string> = new Set(["READONLY", "UNBLOCKED", "MASTERDOWN"]);

export interface ConnectionOptions {
  /** The end of the connection's name in `CLIENT LIST`. */
  readonly role: string;
  /** How long a blocking command may wait beyond the operation time-out. */
  readonly blockMs?: number;
  /** Shared by all connections that must lead to the same server. */
  readonly master?: RedisMaster;
}

export class RedisConnection implements Follower {
  readonly #client: Redis;
  readonly #master: RedisMaster;
  /** What broke the connection or keeps it from being made: the reason why calls fail meanwhile. */
  #broken: Error | undefined;
  #asksForPassword = true;

  constructor(settings: RedisSettings, { role, blockMs = 0, master = new RedisMaster() }: ConnectionOptions) {
    this.#master = master;
    this.#client = new Redis({
      Connector: connectorClass({
        host: settings.host,
        port: settings.port,
        disconnectTimeoutMs: DISCONNECT_TIMEOUT_MS,
        isTaken: ({ role, run_id: runId }) => {
          const refusal = master.reached(this, { role, runId });
          this.#broken = refusal;
          return refusal === undefined;
        },
      }),
      password: settings.password.reveal(),
      db: settings.db,
      protocol: 2,
      connectionName: `notification-service/${role}`,
      disableClientInfo: true,
      lazyConnect: true,
      connectTimeout: settings.operationTimeoutMs,
      // No call is queued while there is no connection, and no open call is sent again after a lost connection.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      // Bounds every wait for a reply, and destroys a half-open connection, which `commandTimeout` would keep.
      socketTimeout: settings.operationTimeoutMs + blockMs,
      retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times - 1, 5), 1000),
      // A server that loads its file announces how long it will take; without this ioredis would wait that long, up to
      // ten seconds.
      maxLoadingRetryTime: 500,
    });
    // ioredis calls this in each attempt to connect, and prints to the console if Redis asks for no password.
    const authenticate = this.#client.auth.bind(this.#client);
    let usedPassword = "";
    this.#client.auth = async () => {
      usedPassword = settings.password.reveal();
      try {
        return await authenticate(usedPassword);
      } catch (error) {
        if (!isWithoutPassword(error)) throw error;
        this.#asksForPassword = false;
        return "OK";
      }
    };
    // The rejections of the calls report the error; without a listener ioredis would print it to the console.
    this.#client.on("ready", () => this.#broken = undefined);
    this.#client.on("close", () => master.closed(this));
    this.#client.on("error", (error) => {
      this.#broken = error;
      if (isRefusedPassword(error) && isReplaced(settings.password, usedPassword)) {
        this.#broken = new Error("The password was replaced");
      }
      // Otherwise ioredis would continue in database 0, among the keys of other programs.
      if (isFailedSelect(error)) this.#client.disconnect(true);
    });
  }

  /** Resolves when the connection is made; rejects with the reason why it is not. */
  async connect(): Promise<void> {
    // A refused connection rejects `connect` with "Connection is closed."; the reason is an earlier error: the server's
    // last answer, what broke the connection, or that the server is unsuitable. Later errors are about commands that
    // failed with the connection.
    let reason: unknown;
    const note = (error: Error) => reason = error.name === "ReplyError" ? error : reason ?? error;
    this.#client.on("error", note);
    try {
      await this.#client.connect();
    } catch (error) {
      throw redisError(reason ?? (this.#broken instanceof UnsuitableRedis ? this.#broken : error));
    } finally {
      this.#client.off("error", note);
    }
  }

  /** Whether the server asks for the password, as far as is known. */
  get asksForPassword(): boolean {
    return this.#asksForPassword;
  }

  /** Calls `listener` whenever a connection has been made, the first one and each later one. */
  onReady(listener: () => void): void {
    this.#client.on("ready", listener);
  }

  /** Calls one command. Strings in the reply are decoded as UTF-8; bytes that are not UTF-8 become U+FFFD. */
  async call(command: string, ...args: Argument[]): Promise<unknown> {
    try {
      return await this.#client.call(command, ...args);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Calls one command; strings in the reply are buffers. */
  async callBuffer(command: string, ...args: Argument[]): Promise<unknown> {
    try {
      return await this.#client.callBuffer(command, ...args);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Calls a script by its SHA-1, and sends its text if Redis does not know it (nothing was done then). */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#client.call("EVALSHA", script.sha1, keys.length, ...keys, ...args);
    } catch (error) {
      if (replyCode((error as Error).message) !== "NOSCRIPT") throw this.#failure(error);
    }
    return await this.runAtOnce(script, keys, args);
  }

  /**
   * Like {@link run}, but always sends the text and tries once: later calls on this connection are executed after it.
   */
  async runAtOnce(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return await this.call("EVAL", script.source, keys.length, ...keys, ...args);
  }

  /** Like {@link run}, with buffers in the reply. */
  async runBuffer(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return await this.callBuffer("EVAL", script.source, keys.length, ...keys, ...args);
  }

  /**
   * Call this when an answer within a reply shows that the server is no longer a master: all connections of the process
   * leave it.
   */
  replace(): void {
    this.#master.demoted(this);
  }

  /** Closes only this connection and makes a new one; open calls reject. */
  reconnect(reason: string): void {
    this.#broken = new Error(reason);
    this.#client.disconnect(true);
  }

  /** Closes the connection finally; open calls reject. Never rejects. */
  async close(): Promise<void> {
    if (this.#client.status === "end") return;
    // Between two connections there is no "end" event to wait for, only ioredis's timer on the stream that is already
    // closed.
    const over = this.#client.status === "reconnecting"
      ? systemClock.sleep(2 * DISCONNECT_TIMEOUT_MS)
      : new Promise((resolve) => this.#client.once("end", resolve));
    this.#client.disconnect();
    await over;
  }

  /** For a call without a reply, what happened to the connection is a better reason than ioredis's own message. */
  #failure(error: unknown): unknown {
    if (isDefect(error)) return error;
    const failure = redisError(error);
    if (REPLICA_CODES.has(failure.code)) this.#master.demoted(this);
    if (failure.code !== "") return failure;
    return new RedisError(this.#broken?.message ?? "The connection was lost", { code: "", cause: error });
  }
}

function isWithoutPassword(error: unknown): boolean {
  return error instanceof Error && /without any password configured|no password is set/.test(error.message);
}

function isRefusedPassword(error: Error): boolean {
  return error.name === "ReplyError" && /^(WRONGPASS|NOAUTH)\b/.test(error.message);
}

/**
 * Reads the password's file again; returns whether another password than the one that was refused is known now, by this
 * reading or by that of another connection.
 */
function isReplaced(password: RedisSettings["password"], refused: string): boolean {
  password.readAgain?.();
  return password.reveal() !== refused;
}

function isFailedSelect(error: Error & { readonly command?: { readonly name?: unknown } }): boolean {
  return error.name === "ReplyError" && error.command?.name === "select";
}

function redisError(error: unknown): RedisError {
  const message = error instanceof Error ? error.message : String(error);
  const replied = error instanceof Error && error.name === "ReplyError";
  return new RedisError(message, { code: replied ? replyCode(message) : "", cause: error });
}
