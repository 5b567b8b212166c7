/** A database URL and SQL of one or more statements → the statements are executed, on a new connection. */
// @ts-types="@types/pg"
import pg from "pg";

export async function runSql(dsn: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: dsn });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
