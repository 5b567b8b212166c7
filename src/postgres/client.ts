/**
 * pg's client with these additions: it is made from settings as they are at that moment, and unusable ones are an error of
 * `connect`; a TLS handshake that fails says so; the pool knows each one that is open, prepared statements have a name of this connection's
 * own, a statement that got no answer rejects with a `PostgresConnectionError`, and a session that a pooler goes on to lend to
 * others is left as it was found.
 *
 * Behind a session pooler without a reset query the server keeps what an earlier client prepared: under the same name it would
 * be refused as existing already (42P05), or be another statement.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { isDefect } from "../lifecycle/defects.ts";
import { PostgresConnectionError } from "./failures.ts";
import { showsSharedSession, transactionPool } from "./session_owner.ts";
import { Handshake } from "./tls.ts";

export interface OwnClient extends pg.Client {
  /** Whether a pooler keeps the session when this connection ends. */
  isPooled: boolean;
}

export interface ClientClassOptions {
  /** Holds each client from its making to its end. */
  readonly open: Set<pg.Client>;
  /** Called for each client; what it throws is what `connect` rejects with. */
  readonly settings: () => pg.ClientConfig;
  /** Called when a statement shows that the pooler lends the clients' sessions to others. */
  readonly onSharedSession: () => void;
}

export function clientClass({ open, settings, onSharedSession }: ClientClassOptions): typeof pg.Client {
  return class extends pg.Client {
    readonly #nameSuffix = `_${crypto.randomUUID().slice(-12)}`;
    isPooled = false;
    /** What the socket or TLS said when the connection broke. */
    #brokenBy: unknown;

    readonly #unusable: Error | undefined;
    readonly #handshake: Handshake;

    /** @param options the pool's */
    constructor(options?: string | pg.ClientConfig) {
      const { config, unusable } = currentConfig(settings);
      super({ ...(options as pg.ClientConfig), ...config });
      this.#unusable = unusable;
      this.#handshake = new Handshake(this.connection);
      if (unusable === undefined) open.add(this);
      this.on("end", () => open.delete(this));
      // Every statement that waits for an answer gets the error; without a listener the event would end the process.
      this.on("error", () => {});
      this.connection.on("error", (error: unknown) => this.#brokenBy ??= error);
    }

    override connect(): Promise<this>;
    override connect(callback: (error: Error) => void): void;
    override connect(callback?: (error: Error) => void): Promise<this> | void {
      const connected = (this.#unusable === undefined ? super.connect() : Promise.reject(this.#unusable)).catch(
        (error) => {
          throw this.#handshake.explain(error);
        },
      );
      if (callback === undefined) return connected.then(() => this);
      connected.then(() => callback(undefined as unknown as Error), callback);
    }

    // deno-lint-ignore no-explicit-any -- pg has an overload for every form of a query
    override query(query: any, ...rest: any[]): any {
      const result: unknown = super.query(this.#withOwnName(query), ...rest);
      if (!(result instanceof Promise)) return result;
      return result.catch((error) => {
        throw this.#failure(error, query);
      });
    }

    override end(): Promise<void>;
    override end(callback: (error: Error) => void): void;
    override end(callback?: (error: Error) => void): Promise<void> | void {
      if (!this.isPooled) return callback === undefined ? super.end() : super.end(callback);
      this.isPooled = false;
      // A pooler without a reset query would hand our settings and prepared statements on.
      const ended = super.query("DISCARD ALL").catch(() => {}).then(() => super.end());
      if (callback === undefined) return ended;
      ended.then(() => callback(undefined as unknown as Error), callback);
    }

    #withOwnName(query: unknown): pg.QueryConfig {
      const isNamed = typeof query === "object" && query !== null && "name" in query && typeof query.name === "string";
      return (isNamed ? { ...query, name: query.name + this.#nameSuffix } : query) as pg.QueryConfig;
    }

    #failure(error: unknown, statement: unknown): unknown {
      if (this.isPooled && showsSharedSession(error, statement)) {
        onSharedSession();
        return new PostgresConnectionError(transactionPool());
      }
      const isAnswer = error instanceof pg.DatabaseError;
      // The runtime's sockets may break with an exception of JavaScript's own.
      const isOurs = isDefect(error) && error !== this.#brokenBy;
      return isAnswer || isOurs ? error : new PostgresConnectionError(error);
    }
  };
}

function currentConfig(
  settings: () => pg.ClientConfig,
): { readonly config: pg.ClientConfig; readonly unusable?: Error } {
  try {
    return { config: settings() };
  } catch (error) {
    return { config: {}, unusable: error instanceof Error ? error : new Error(String(error)) };
  }
}
