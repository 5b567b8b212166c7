/**
 * A number of records, and the state and age of their routes → these rows, generated inside PostgreSQL.
 *
 * The rows are like those that the service writes for the intents of `fill.ts`. Before many rows are added, the indexes
 * are dropped; afterwards they are built again, with the average page fullness of an index that has grown. Then the
 * tables are vacuumed and analysed, as autovacuum would do.
 */
import type pg from "pg";

export interface Rows {
  /** The number of the first record. The caller must not use a number twice. */
  readonly from: number;
  readonly records: number;
  /** `live`: a push and an e-mail route, both due. `published`: one published route. */
  readonly routes: "live" | "published";
  readonly daysAgo: number;
}

/** From this number of records on, building the indexes again is faster than inserting into them. */
export const LARGE = 100_000;

export async function addRows(pool: pg.Pool, rows: Rows): Promise<void> {
  // Two connections, because machines have at least two cores.
  const add = () => Promise.all([fillTable(pool, RECORDS, rows), fillTable(pool, ROUTES[rows.routes], rows)]);
  if (rows.records < LARGE) await add();
  else await withoutIndexes(pool, add);
  await vacuum(pool);
}

export async function vacuum(pool: pg.Pool): Promise<void> {
  await Promise.all(TABLES.map((table) => pool.query(`VACUUM (ANALYZE) ${table}`)));
}

/**
 * The average fullness (percent) of the pages of an index with insertions at many places (ln 2). With the default
 * fullness, nearly all pages would be split within the same few thousand insertions: one insertion in six splits a page
 * then (measured), but in a grown index about one in 120. With this fullness, no page is split, because all pages have
 * room for what is inserted here.
 */
const AVERAGE_FULLNESS = 69;

const TABLES = ["notification.records", "notification.routes"] as const;

/** Version 7 UUIDs, five per millisecond, and the times in them. */
const NUMBERED = `
  SELECT n, accepted_at, (lpad(to_hex((extract(epoch FROM accepted_at) * 1000)::bigint), 12, '0') ||
      '7' || left(hash, 3) || '8' || substr(hash, 4, 15))::uuid AS notification_id,
    'g-' || n % 10000 AS game, n / 10000 + 1 AS turn, 'user-' || n % 1000 AS user_id
  FROM (
    SELECT n, md5(n::text) AS hash, date_trunc('hour', now()) - $3 * interval '1 day' + n * interval '200 microseconds'
      AS accepted_at
    FROM generate_series($1::int, $1::int + $2::int - 1) AS n
  ) AS numbers`;

const RECORDS = `
  INSERT INTO notification.records (
    notification_id, notification_type, producer, audience_kind, recipient_user_ids, payload, idempotency_key,
    request_fingerprint, stream, stream_entry_id, request_id, occurred_at, accepted_at)
  SELECT notification_id, 'game.turn.ready', 'game-lobby', 'user', jsonb_build_array(user_id),
    ('{"game_id":"' || game || '","game_name":"A nice game","turn_number":' || turn || '}')::json,
    'game-' || game || '-turn-' || turn, sha256(n::text::bytea), 'notification:intents',
    (extract(epoch FROM accepted_at) * 1000)::bigint || '-' || n % 5, 'g-' || n, accepted_at, accepted_at
  FROM (${NUMBERED}) AS record`;

const ROUTES = {
  live: `
    INSERT INTO notification.routes (
      notification_id, route_id, channel, recipient, recipient_email, locale, status, max_attempts, next_attempt_at,
      created_at, updated_at)
    SELECT notification_id, channel || ':user:' || user_id, channel, 'user:' || user_id,
      CASE channel WHEN 'email' THEN user_id || '@example.com' END, 'en', 'pending', max_attempts, accepted_at,
      accepted_at, accepted_at
    FROM (${NUMBERED}) AS record, (VALUES ('push', 3), ('email', 7)) AS delivery (channel, max_attempts)`,
  published: `
    INSERT INTO notification.routes (
      notification_id, route_id, channel, recipient, recipient_email, locale, status, attempt_count, max_attempts,
      published_entry_id, created_at, updated_at)
    SELECT notification_id, channel || ':user:' || user_id, channel, 'user:' || user_id,
      CASE channel WHEN 'email' THEN user_id || '@example.com' END, 'en', 'published', 1, 3,
      (extract(epoch FROM accepted_at) * 1000)::bigint || '-0', accepted_at, accepted_at
    FROM (SELECT *, CASE n % 2 WHEN 0 THEN 'push' ELSE 'email' END AS channel FROM (${NUMBERED}) AS record) AS route`,
} as const;

async function fillTable(pool: pg.Pool, statement: string, { from, records, daysAgo }: Rows): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("SET synchronous_commit = off"); // this is not part of a measurement
    await client.query(statement, [from, records, daysAgo]);
    await client.query("RESET synchronous_commit");
  } finally {
    client.release();
  }
}

async function withoutIndexes(pool: pg.Pool, work: () => Promise<unknown>): Promise<void> {
  const constraints = await pool.query<{ table: string; name: string; definition: string; isUnordered: boolean }>(
    `SELECT conrelid::regclass::text AS table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition,
       contype = 'u' AS "isUnordered"
     FROM pg_constraint WHERE contype IN ('p', 'u') AND conrelid = ANY ($1::regclass[])`,
    [TABLES],
  );
  const indexes = await pool.query<{ table: string; name: string; definition: string }>(
    `SELECT indrelid::regclass::text AS table, indexrelid::regclass::text AS name,
       pg_get_indexdef(indexrelid) AS definition
     FROM pg_index WHERE indrelid = ANY ($1::regclass[])
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`,
    [TABLES],
  );
  for (const { table, name } of constraints.rows) await pool.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
  for (const { name } of indexes.rows) await pool.query(`DROP INDEX ${name}`);
  await work();
  const build = async (table: string) => {
    const client = await pool.connect();
    try {
      await client.query("SET maintenance_work_mem = '512MB'");
      for (const { name, definition, isUnordered } of constraints.rows.filter((row) => row.table === table)) {
        const storage = isUnordered ? ` WITH (fillfactor = ${AVERAGE_FULLNESS})` : "";
        await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}${storage}`);
        if (isUnordered) await client.query(`ALTER INDEX notification.${name} RESET (fillfactor)`);
      }
      for (const { definition } of indexes.rows.filter((row) => row.table === table)) await client.query(definition);
      await client.query("RESET maintenance_work_mem");
    } finally {
      client.release();
    }
  };
  await Promise.all(TABLES.map(build));
}
