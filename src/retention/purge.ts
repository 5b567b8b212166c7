/**
 * Deletes rows past their retention, one bounded batch per call, so that no statement runs for long.
 *
 * A record is deleted together with its routes and dead letters, and only when every route is terminal, however old it
 * is. Several instances may delete at once: rows that another one is deleting are skipped.
 */
import type pg from "pg";

/** Rows of each table that a batch deleted. */
type Purged = Readonly<Record<"records" | "routes" | "dead_letters" | "malformed_intents", number>>;

export interface RecordBatch {
  readonly purged: Purged;
  /**
   * Where the next batch begins: the last record that was looked at, deleted or kept; `undefined` when none is left.
   */
  readonly next: RecordCursor | undefined;
}

/** A position in the order of records by age. */
export interface RecordCursor {
  readonly acceptedAt: string;
  readonly notificationId: string;
}

export const BEFORE_ALL_RECORDS: RecordCursor = {
  acceptedAt: "-infinity",
  notificationId: "00000000-0000-0000-0000-000000000000",
};

/** A record of 10,000 recipients has 20,000 routes; one record always fits. */
const MAX_BATCH_ROUTES = 10_000;

export async function purgeRecords(
  pool: pg.Pool,
  { retentionMs, after, limit }: { retentionMs: number; after: RecordCursor; limit: number },
): Promise<RecordBatch> {
  const { rows } = await pool.query<{
    accepted_at: string | null;
    notification_id: string | null;
    records: number;
    routes: number;
    dead_letters: number;
  }>({
    text: `
      WITH old AS MATERIALIZED (
        SELECT notification_id, accepted_at
        FROM notification.records
        WHERE accepted_at < now() - $1 * interval '1 millisecond' AND (accepted_at, notification_id) > ($2, $3)
        ORDER BY accepted_at, notification_id
        LIMIT $4
        FOR UPDATE SKIP LOCKED
      ), counted AS MATERIALIZED (
        SELECT old.*, routes.live, sum(routes.number) OVER (ORDER BY accepted_at, notification_id) - routes.number
          AS routes_before
        FROM old CROSS JOIN LATERAL (
          SELECT count(*) AS number, count(*) FILTER (WHERE status IN ('pending', 'failed')) AS live
          FROM notification.routes AS route WHERE route.notification_id = old.notification_id) AS routes
      ), taken AS MATERIALIZED (
        SELECT * FROM counted WHERE routes_before < $5
      ), finished AS MATERIALIZED (
        SELECT notification_id FROM taken WHERE live = 0
      ), letters AS (
        DELETE FROM notification.dead_letters WHERE notification_id IN (SELECT notification_id FROM finished)
        RETURNING 1
      ), routes AS (
        DELETE FROM notification.routes WHERE notification_id IN (SELECT notification_id FROM finished)
        RETURNING 1
      ), records AS (
        DELETE FROM notification.records WHERE notification_id IN (SELECT notification_id FROM finished)
        RETURNING 1
      ), last AS (
        SELECT * FROM taken ORDER BY accepted_at DESC, notification_id DESC LIMIT 1
      )
      SELECT (SELECT accepted_at::text FROM last), (SELECT notification_id FROM last),
        (SELECT count(*)::int FROM records) AS records, (SELECT count(*)::int FROM routes) AS routes,
        (SELECT count(*)::int FROM letters) AS dead_letters`,
    values: [retentionMs, after.acceptedAt, after.notificationId, limit, MAX_BATCH_ROUTES],
  });
  const { accepted_at: acceptedAt, notification_id: notificationId, ...purged } = rows[0]!;
  return {
    purged: { ...purged, malformed_intents: 0 },
    next: acceptedAt === null ? undefined : { acceptedAt, notificationId: notificationId! },
  };
}

/** The record that a batch of one would look at; `undefined` when there is none left. */
export async function nextRecord(
  pool: pg.Pool,
  { retentionMs, after }: { retentionMs: number; after: RecordCursor },
): Promise<RecordCursor | undefined> {
  const { rows } = await pool.query<RecordCursor>({
    text: `
      SELECT accepted_at::text AS "acceptedAt", notification_id AS "notificationId"
      FROM notification.records
      WHERE accepted_at < now() - $1 * interval '1 millisecond' AND (accepted_at, notification_id) > ($2, $3)
      ORDER BY accepted_at, notification_id
      LIMIT 1`,
    values: [retentionMs, after.acceptedAt, after.notificationId],
  });
  return rows[0];
}

/** Returns how many malformed intents were deleted: fewer than `limit` when none is left. */
export async function purgeMalformed(
  pool: pg.Pool,
  { retentionMs, limit }: { retentionMs: number; limit: number },
): Promise<number> {
  const { rowCount } = await pool.query({
    text: `
      DELETE FROM notification.malformed_intents
      WHERE (stream, stream_entry_id) IN (
        SELECT stream, stream_entry_id FROM notification.malformed_intents
        WHERE recorded_at < now() - $1 * interval '1 millisecond'
        ORDER BY recorded_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED)`,
    values: [retentionMs, limit],
  });
  return rowCount ?? 0;
}
