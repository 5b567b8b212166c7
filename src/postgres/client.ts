/**
 * pg's client with four additions: the pool knows each one that is open, prepared statements have a name of this connection's
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

export interface OwnClient extends pg.Client {
  /** Whether a pooler keeps the session when this connection ends. */
  isPooled: boolean;
}

/** @param open holds each client from its making to its end */
export function clientClass(open: Set<pg.Client>): typeof pg.Client {
  return class extends pg.Client {
    readonly #nameSuffix = `_${crypto.randomUUID().slice(-12)}`;
    isPooled = false;
    /** What the socket or TLS said when the connection broke. */
    #brokenBy: unknown;

    constructor(config?: string | pg.ClientConfig) {
      super(config);
      open.add(this);
      this.on("end", () => open.delete(this));
      // Every statement that waits for an answer gets the error; without a listener the event would end the process.
      this.on("error", () => {});
      this.connection.on("error", (error: unknown) => this.#brokenBy ??= error);
    }

    // deno-lint-ignore no-explicit-any -- pg has an overload for every form of a query
    override query(query: any, ...rest: any[]): any {
      const result: unknown = super.query(this.#withOwnName(query), ...rest);
      if (!(result instanceof Promise)) return result;
      return result.catch((error) => {
        throw this.#failure(error);
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

    #failure(error: unknown): unknown {
      const isAnswer = error instanceof pg.DatabaseError;
      // The runtime's sockets may break with an exception of JavaScript's own.
      const isOurs = isDefect(error) && error !== this.#brokenBy;
      return isAnswer || isOurs ? error : new PostgresConnectionError(error);
    }
  };
}
