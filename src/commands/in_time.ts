/** A statement that may take long → its rows, or `undefined` if PostgreSQL needs longer than an operator waits. */
// @ts-types="@types/pg"
import pg from "pg";
import { inTransaction } from "../postgres/transaction.ts";

/** With the process's start and a smaller statement instead of the one that was cut, a command takes about a second. */
const BOUND_MS = 500;

export async function inTime<Row extends pg.QueryResultRow>(
  postgres: pg.Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[] | undefined> {
  try {
    return await inTransaction(postgres, async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${BOUND_MS}`);
      return (await client.query<Row>(text, [...values])).rows;
    });
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === QUERY_CANCELED) return undefined;
    throw error;
  }
}

const QUERY_CANCELED = "57014";
