/**
 * A connection to the Redis master that replaces itself, together with the others of the process where the master has changed,
 * and on which every call ends.
 *
 * A call is answered, or rejects with a {@link RedisError}: at once while there is no connection, after the operation
 * time-out when nothing comes back. A connection on which nothing came back is given up for a new one. No call is ever
 * sent twice behind the caller's back.
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
    /** Reads it again where it came from a file, since the server has refused it. */
    readAgain?(): void;
  };
  readonly db: number;
  readonly operationTimeoutMs: number;
}

/** After which a connection that is being closed is destroyed. */
const DISCONNECT_TIMEOUT_MS = 20;

export type Argument = string | number;

/** A Lua script and the SHA-1 that Redis knows it by. */
export class Script {
  readonly source: string;
  readonly sha1: string;

  constructor(source: string) {
    this.source = source.trim();
    this.sha1 = createHash("sha1").update(this.source).digest("hex");
  }
}

/** Answers of a server that is no master any more, to a write, a blocking call and a read. */
const REPLICA_CODES: ReadonlySet<string> = new Set(["READONLY", "UNBLOCKED", "MASTERDOWN"]);

export interface ConnectionOptions {
  /** Ends the connection's name in `CLIENT LIST`. */
  readonly role: string;
  /** How long a blocking command may wait beyond the operation time-out. */
  readonly blockMs?: number;
  /** Shared by all connections that are to be to one server. */
  readonly master?: RedisMaster;
}

export class RedisConnection implements Follower {
  readonly #client: Redis;
  readonly #master: RedisMaster;
  /** What broke the connection, or keeps it from being made: why calls fail meanwhile. */
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
      // Nothing is queued while there is no connection, and nothing in flight is sent again after one was lost.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      // Bounds every wait for a reply and destroys the half-open connection, which `commandTimeout` would keep.
      socketTimeout: settings.operationTimeoutMs + blockMs,
      retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times - 1, 5), 1000),
      // A server that loads its file names the time it will take; ioredis would sleep for that, ten seconds at most.
      maxLoadingRetryTime: 500,
    });
    // Called by each attempt to connect. ioredis prints to the console where Redis asks for no password.
    const authenticate = this.#client.auth.bind(this.#client);
    this.#client.auth = async () => {
      try {
        return await authenticate(settings.password.reveal());
      } catch (error) {
        if (!isWithoutPassword(error)) throw error;
        this.#asksForPassword = false;
        return "OK";
      }
    };
    // The calls' own rejections say it; without a listener ioredis prints to the console.
    this.#client.on("ready", () => this.#broken = undefined);
    this.#client.on("close", () => master.closed(this));
    this.#client.on("error", (error) => {
      this.#broken = error;
      if (isRefusedPassword(error) && isReplaced(settings.password)) {
        this.#broken = new Error("The password was replaced");
      }
      // ioredis would go on in database 0, among other people's keys.
      if (isFailedSelect(error)) this.#client.disconnect(true);
    });
  }

  /** Resolves when the connection is there; rejects with why it is not. */
  async connect(): Promise<void> {
    // A refused connection rejects `connect` with "Connection is closed."; what happened is an error before it: the server's
    // last answer, what broke the connection, or that the server is not taken. What follows is about the commands it took with it.
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

  /** Whether the server let this connection in because of the password, as far as is known. */
  get asksForPassword(): boolean {
    return this.#asksForPassword;
  }

  /** Calls `listener` whenever a connection has been made, the first one and each later one. */
  onReady(listener: () => void): void {
    this.#client.on("ready", listener);
  }

  /** One command; strings in the reply are decoded as UTF-8, bytes that are none become U+FFFD. */
  async call(command: string, ...args: Argument[]): Promise<unknown> {
    try {
      return await this.#client.call(command, ...args);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** One command; strings in the reply are buffers. */
  async callBuffer(command: string, ...args: Argument[]): Promise<unknown> {
    try {
      return await this.#client.callBuffer(command, ...args);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** One call of a script, which is sent whole if Redis doesn't know it (nothing has been done then). */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#client.call("EVALSHA", script.sha1, keys.length, ...keys, ...args);
    } catch (error) {
      if (replyCode((error as Error).message) !== "NOSCRIPT") throw this.#failure(error);
    }
    return await this.runAtOnce(script, keys, args);
  }

  /** As {@link run}, but never tried a second time: what is called after it on this connection is done after it. */
  async runAtOnce(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return await this.call("EVAL", script.source, keys.length, ...keys, ...args);
  }

  /** As {@link run}, with buffers in the reply. */
  async runBuffer(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return await this.callBuffer("EVAL", script.source, keys.length, ...keys, ...args);
  }

  /** The server has said, in an answer that the caller took apart, that it is no master any more: all of the process leave it. */
  replace(): void {
    this.#master.demoted(this);
  }

  /** Gives this connection alone up for a new one; calls in flight reject. */
  reconnect(reason: string): void {
    this.#broken = new Error(reason);
    this.#client.disconnect(true);
  }

  /** Ends the connection for good; calls in flight reject. Never rejects. */
  async close(): Promise<void> {
    if (this.#client.status === "end") return;
    // Between two connections there is no end to wait for, only ioredis's timer on the stream that is closed already.
    const over = this.#client.status === "reconnecting"
      ? systemClock.sleep(2 * DISCONNECT_TIMEOUT_MS)
      : new Promise((resolve) => this.#client.once("end", resolve));
    this.#client.disconnect();
    await over;
  }

  /** ioredis words a call that got no reply in its own terms; what happened to the connection says more. */
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

/** Whether the password that was refused has been replaced in its file, which is read again. */
function isReplaced(password: RedisSettings["password"]): boolean {
  const refused = password.reveal();
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
