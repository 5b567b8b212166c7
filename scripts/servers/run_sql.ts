/** A database's URL and SQL, one statement or several → nothing, once it is run, on a connection of its own. */
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
