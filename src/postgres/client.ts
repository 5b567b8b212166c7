/**
 * pg's client with these additions: it reads the settings when it is made, and `connect` rejects if they are unusable;
 * an error names a failed TLS handshake; the pool knows each open client; prepared statements have names that are
 * unique to the connection; a statement without an answer rejects with a `PostgresConnectionError`; and a pooled
 * session is reset before it is returned to the pooler.
 *
 * Behind a session pooler without a reset query the server keeps the prepared statements of earlier clients: the same
 * name would be refused because it exists (42P05), or would mean another statement.
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
  /** Holds each client from its creation to its end. */
  readonly open: Set<pg.Client>;
  /** Called for each client; if it throws, `connect` rejects with that error. */
  readonly settings: () => pg.ClientConfig;
  /** Called when a statement shows that the pooler lends the clients' sessions to others. */
  readonly onSharedSession: () => void;
}

export function clientClass({ open, settings, onSharedSession }: ClientClassOptions): typeof pg.Client {
  return class extends pg.Client {
    readonly #nameSuffix = `_${crypto.randomUUID().slice(-12)}`;
    isPooled = false;
    /** The error of the socket or of TLS that broke the connection. */
    #brokenBy: unknown;

    readonly #unusable: Error | undefined;
    readonly #handshake: Handshake;

    /** @param options the options of the pool */
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
      // A pooler without a reset query would pass our settings and prepared statements on to another client.
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
      // A socket of the runtime may break with an exception of JavaScript's own, which is no defect of ours.
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
