/**
 * Deletes rows past their retention, one bounded batch per call, so that no statement runs for long.
 *
 * A record is deleted together with its routes and dead letters, and only when every route is terminal, however old it
 * is. Several instances may delete at once: rows that another one is deleting are skipped.
 */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";

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

const AFTER = { retention_ms: "bigint", after_time: "timestamptz", after_id: "uuid" } as const;

type AfterParameters = Readonly<Record<keyof typeof AFTER, string>>;

/** SQL condition: records past their retention, after a position. */
function isOldAfterSql(p: AfterParameters): string {
  return `accepted_at < now() - ${p.retention_ms} * interval '1 millisecond'
    AND (accepted_at, notification_id) > (${p.after_time}, ${p.after_id})`;
}

function afterValues({ retentionMs, after }: { readonly retentionMs: number; readonly after: RecordCursor }) {
  return { retention_ms: retentionMs, after_time: after.acceptedAt, after_id: after.notificationId };
}

const PURGE_RECORDS = statement(
  { name: "purge_records", takes: { ...AFTER, limit: "integer", max_routes: "integer" } },
  (p) => `
WITH old AS MATERIALIZED (
  SELECT notification_id, accepted_at
  FROM notification.records
  WHERE ${isOldAfterSql(p)}
  ORDER BY accepted_at, notification_id
  LIMIT ${p.limit}
  FOR UPDATE SKIP LOCKED
), counted AS MATERIALIZED (
  SELECT old.*, routes.live, sum(routes.number) OVER (ORDER BY accepted_at, notification_id) - routes.number
    AS routes_before
  FROM old CROSS JOIN LATERAL (
    SELECT count(*) AS number, count(*) FILTER (WHERE status IN ('pending', 'failed')) AS live
    FROM notification.routes AS route WHERE route.notification_id = old.notification_id) AS routes
), taken AS MATERIALIZED (
  SELECT * FROM counted WHERE routes_before < ${p.max_routes}
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
);

interface PurgedRow {
  readonly accepted_at: string | null;
  readonly notification_id: string | null;
  readonly records: number;
  readonly routes: number;
  readonly dead_letters: number;
}

export async function purgeRecords(
  pool: pg.Pool,
  { limit, ...from }: { retentionMs: number; after: RecordCursor; limit: number },
): Promise<RecordBatch> {
  const values = { ...afterValues(from), limit, max_routes: MAX_BATCH_ROUTES };
  const { rows } = await pool.query<PurgedRow>(PURGE_RECORDS(values));
  const { accepted_at: acceptedAt, notification_id: notificationId, ...purged } = rows[0]!;
  return {
    purged: { ...purged, malformed_intents: 0 },
    next: acceptedAt === null ? undefined : { acceptedAt, notificationId: notificationId! },
  };
}

const NEXT_RECORD = statement({ name: "next_record", takes: AFTER }, (p) => `
SELECT accepted_at::text AS "acceptedAt", notification_id AS "notificationId"
FROM notification.records
WHERE ${isOldAfterSql(p)}
ORDER BY accepted_at, notification_id
LIMIT 1`);

/** The record that a batch of one would look at; `undefined` when there is none left. */
export async function nextRecord(
  pool: pg.Pool,
  from: { retentionMs: number; after: RecordCursor },
): Promise<RecordCursor | undefined> {
  const { rows } = await pool.query<RecordCursor>(NEXT_RECORD(afterValues(from)));
  return rows[0];
}

const PURGE_MALFORMED = statement(
  { name: "purge_malformed", takes: { retention_ms: "bigint", limit: "integer" } },
  (p) => `
DELETE FROM notification.malformed_intents
WHERE (stream, stream_entry_id) IN (
  SELECT stream, stream_entry_id FROM notification.malformed_intents
  WHERE recorded_at < now() - ${p.retention_ms} * interval '1 millisecond'
  ORDER BY recorded_at
  LIMIT ${p.limit}
  FOR UPDATE SKIP LOCKED)`,
);

/** Returns how many malformed intents were deleted: fewer than `limit` when none is left. */
export async function purgeMalformed(
  pool: pg.Pool,
  { retentionMs, limit }: { retentionMs: number; limit: number },
): Promise<number> {
  const { rowCount } = await pool.query(PURGE_MALFORMED({ retention_ms: retentionMs, limit }));
  return rowCount ?? 0;
}
