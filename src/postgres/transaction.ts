/**
 * Runs work in a transaction of its own: committed when it resolves, rolled back when it rejects.
 *
 * Rejects with the work's own error. A connection whose state is not known is destroyed, never handed back; a commit
 * whose answer was lost rejects, and whether it happened the caller has to cope with.
 */
import type pg from "pg";

export async function inTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let isClean = false;
  try {
    // Waited for: statements sent behind a BEGIN that fails would each commit by themselves.
    await client.query("BEGIN");
    let result: Result;
    try {
      result = await work(client);
    } catch (error) {
      isClean = await rolledBack(client);
      throw error;
    }
    const { command } = await client.query("COMMIT");
    isClean = true;
    // A failed transaction answers a COMMIT with ROLLBACK, and no error.
    if (command !== "COMMIT") throw new Error(`The transaction ended with ${command}`);
    return result;
  } finally {
    client.release(!isClean);
  }
}

async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    // The work's own error says what happened; the connection is destroyed.
    return false;
  }
}
