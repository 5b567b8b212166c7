/**
 * A new connection → whether its session on the server belongs only to this connection, before the first setting is
 * made in it.
 *
 *     direct       the process that the handshake named answers: there is no pooler, or a transparent one
 *     pooled       a pooler in session mode: the session belongs to this connection until its end
 *     otherwise    a pooler in transaction or statement mode: refused, because settings and locks would reach the
 *                  sessions of other programs
 *
 * A pooler does not report its mode, so the mode is found by trying. Statement by statement, a pooler in transaction
 * mode gives this connection the server connection that was used last (LIFO, PgBouncer's default) or the one that was
 * unused for longest (`server_round_robin`). With LIFO, a second connection that begins a transaction gets the one that
 * this connection had; if another program took it meanwhile, this connection's next statement gets another one. With
 * round robin two statements in a row differ; where the pooler has one server connection, the second client gets that
 * one. The attempt changes nothing on the server.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { UnsuitablePostgres } from "./unsuitable.ts";

export type SessionOwner = "direct" | "pooled";

/** Statements of other programs can hide a transaction pool from a single try by chance. */
const TRIES = 10;

/** Decides once for connections that are opened together: the first one tries, the others wait for its result. */
export class SessionOwners {
  readonly #openAnother: () => pg.Client;
  #decision: Promise<SessionOwner> | undefined;

  /** @param openAnother creates a client with the same settings, not yet connected */
  constructor(openAnother: () => pg.Client) {
    this.#openAnother = openAnother;
  }

  /** @throws UnsuitablePostgres for a pooler in transaction mode; the next connection then tries again */
  async decide(client: pg.Client): Promise<SessionOwner> {
    const decision = this.#decision ??= ownerOf(client, this.#openAnother);
    try {
      return await decision;
    } catch (error) {
      if (this.#decision === decision) this.#decision = undefined;
      throw error;
    }
  }

  /** The next connection tries again. */
  forget(): void {
    this.#decision = undefined;
  }
}

async function ownerOf(client: pg.Client, openAnother: () => pg.Client): Promise<SessionOwner> {
  const named = "processID" in client ? client.processID : undefined;
  const first = await serverProcess(client);
  if (first === named) return "direct";
  if (await serverProcess(client) !== first) throw transactionPool();
  const other = openAnother();
  other.on("error", () => {});
  try {
    await other.connect();
    for (let tried = 0; tried < TRIES; tried++) {
      await other.query("BEGIN READ ONLY").catch(refuseWithoutTransactions);
      const others = await serverProcess(other);
      if (others === first || await serverProcess(client) !== first) throw transactionPool();
      await other.query("ROLLBACK");
    }
  } finally {
    // The client ends within a transaction, so the pooler closes its server connection. A failure of the end does not
    // matter.
    other.end().catch(() => {});
  }
  return "pooled";
}

async function serverProcess(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]!.pid;
}

/** In statement mode PgBouncer refuses transactions. */
function refuseWithoutTransactions(error: unknown): never {
  throw isWithoutTransactions(error) ? transactionPool() : error;
}

function isWithoutTransactions(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "08P01";
}

const NO_SUCH_STATEMENT = "26000";
const STATEMENT_EXISTS = "42P05";

/**
 * Whether a pooled connection's statement failed as it does where the pooler has been switched to transaction or
 * statement mode since the connection was made. The names of prepared statements are this connection's own (client.ts):
 * one that is missing, or exists already, was prepared in another session.
 */
export function showsSharedSession(error: unknown, statement: unknown): boolean {
  if (statement === "BEGIN") return isWithoutTransactions(error);
  return error instanceof pg.DatabaseError && (error.code === NO_SUCH_STATEMENT || error.code === STATEMENT_EXISTS);
}

export function transactionPool(): UnsuitablePostgres {
  return new UnsuitablePostgres(
    "NOTIFICATION_POSTGRES_PRIMARY_DSN leads to a pooler in transaction or statement mode, where sessions are shared",
    { advice: "let the DSN name PostgreSQL itself, or a pool with pool_mode = session" },
  );
}
