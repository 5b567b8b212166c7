/**
 * Work → one transaction: committed when the work resolves, rolled back when it rejects, with the work's own error.
 *
 * A connection whose state is not known is destroyed, never handed back. Where the answer to COMMIT was lost the
 * transaction rejects, and the caller has to cope with either. Every wait on PostgreSQL is bounded by the pool's time-outs.
 */
import type pg from "pg";
import { ABORTED, unlessAborted } from "../lifecycle/unless_aborted.ts";
import { leavesConnectionUsable, PostgresConnectionError, postgresFailure } from "./failures.ts";

/**
 * The work may send several statements without waiting for each other's answers; they are done in the order sent, and
 * after one that fails the rest fails too. BEGIN and COMMIT are waited for, because pg's pipeline mode gives each
 * statement its own end (Sync): behind a BEGIN that fails each statement would commit by itself (seen: 4 of 7 cancelled
 * BEGINs), and a COMMIT sent along commits without a statement that pg could not send.
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
 * Waits for statements that were sent without waiting for each other. Rejects, once all are answered, with the error of the
 * first that failed: those behind it fail too, and say only that the transaction is aborted.
 */
export async function allAnswered<const Statements extends readonly unknown[]>(
  statements: Statements,
): Promise<{ -readonly [Index in keyof Statements]: Awaited<Statements[Index]> }> {
  await Promise.allSettled(statements);
  // All are settled: the first in the order given decides.
  return await Promise.all(statements);
}

export interface CutOptions {
  /** Cuts the work: its connection is destroyed, and what waits for that rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lends a connection to the work. Afterwards it is destroyed, unless the work has called `keep`: then its state is known
 * and the pool gets it back.
 */
export async function withClient<Result>(
  pool: pg.Pool,
  { signal }: CutOptions,
  work: (client: pg.PoolClient, keep: () => void) => Promise<Result>,
): Promise<Result> {
  const client = await acquire(pool, signal);
  let isKept = false;
  // Not release(true) alone, which says goodbye politely and waits for answers that are due.
  const destroy = () => client.connection.stream.destroy();
  signal?.addEventListener("abort", destroy);
  try {
    signal?.throwIfAborted();
    return await work(client, () => isKept = true);
  } catch (error) {
    // What the work met is the cut, as pg words it.
    if (signal?.aborted && error instanceof PostgresConnectionError) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener("abort", destroy);
    if (!isKept) destroy();
    client.release(!isKept);
  }
}

/** Waits for a connection no longer than the signal allows; one that comes too late goes back to the pool. */
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
    // The work's own error says what happened.
    return false;
  }
}
