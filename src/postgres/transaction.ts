/**
 * Work → one transaction: committed when the work resolves, rolled back when it rejects; the work's own error is kept.
 *
 * A connection whose state is unknown is destroyed, never returned to the pool. If the answer to COMMIT is lost, the
 * transaction rejects although it may have committed; the caller has to handle both. The pool's time-outs bound every
 * wait for PostgreSQL.
 */
import type pg from "pg";
import { ABORTED, unlessAborted } from "../lifecycle/unless_aborted.ts";
import { leavesConnectionUsable, PostgresConnectionError, postgresFailure } from "./failures.ts";

/**
 * The work may send several statements without waiting for the answers in between; the server executes them in this
 * order, and after one that fails the rest fails too. The answers to BEGIN and COMMIT are awaited, because pg's
 * pipeline mode ends each statement separately (Sync): after a BEGIN that failed each statement would commit by itself
 * (seen after 4 of 7 cancelled BEGINs), and a COMMIT that was sent early would commit without a statement that pg could
 * not send.
 */
export async function inTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  return await withClient(pool, {}, async (client, keep) => {
    let result: Result;
    try {
      await client.query("BEGIN");
      result = await work(client);
      await commit(client);
    } catch (error) {
      if (await isRolledBack(client, error)) keep();
      throw error;
    }
    keep();
    return result;
  });
}

/** One statement that is a transaction of its own. */
export async function atOnce<Result>(
  pool: pg.Pool,
  statement: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  return await withClient(pool, {}, async (client, keep) => {
    let result: Result;
    try {
      result = await statement(client);
    } catch (error) {
      if (leavesConnectionUsable(error)) keep();
      throw error;
    }
    keep();
    return result;
  });
}

/**
 * Waits for statements that were sent together. Once all are answered, rejects with the error of the first that failed:
 * the later ones only report that the transaction is aborted.
 */
export async function allAnswered<const Statements extends readonly unknown[]>(
  statements: Statements,
): Promise<{ -readonly [Index in keyof Statements]: Awaited<Statements[Index]> }> {
  await Promise.allSettled(statements);
  // All are settled, so this rejects with the first error in the order of the statements.
  return await Promise.all(statements);
}

export interface CutOptions {
  /** Ends the work: its connection is destroyed, and the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lends a connection to the work. Afterwards the connection is destroyed, unless the work has called `keep` because its
 * state is known: then it returns to the pool.
 */
export async function withClient<Result>(
  pool: pg.Pool,
  { signal }: CutOptions,
  work: (client: pg.PoolClient, keep: () => void) => Promise<Result>,
): Promise<Result> {
  const client = await acquire(pool, signal);
  let isKept = false;
  // release(true) alone is not enough: it ends the session in order and waits for pending answers.
  const destroy = () => client.connection.stream.destroy();
  signal?.addEventListener("abort", destroy);
  try {
    signal?.throwIfAborted();
    return await work(client, () => isKept = true);
  } catch (error) {
    // The error of the work is only a consequence of the destroyed connection.
    if (signal?.aborted && error instanceof PostgresConnectionError) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener("abort", destroy);
    if (!isKept) destroy();
    client.release(!isKept);
  }
}

/** Waits for a connection until the signal aborts; one that comes later returns to the pool. */
async function acquire(pool: pg.Pool, signal: AbortSignal | undefined): Promise<pg.PoolClient> {
  signal?.throwIfAborted();
  const connecting = pool.connect();
  if (signal === undefined) return await connecting;
  const client = await unlessAborted(connecting, signal);
  if (client !== ABORTED) return client;
  connecting.then((late) => late.release(), () => {});
  throw signal.reason;
}

async function commit(client: pg.PoolClient): Promise<void> {
  const { command } = await client.query("COMMIT");
  // A transaction in which a statement failed answers with ROLLBACK and no error.
  if (command !== "COMMIT") throw new Error("The transaction was rolled back: one of its statements had failed");
}

async function isRolledBack(client: pg.PoolClient, error: unknown): Promise<boolean> {
  if (postgresFailure(error) !== undefined && !leavesConnectionUsable(error)) return false;
  try {
    await client.query("ROLLBACK");
    return client.getTransactionStatus() === "I";
  } catch {
    // The work's own error is thrown instead.
    return false;
  }
}
