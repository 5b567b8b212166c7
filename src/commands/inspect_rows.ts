/**
 * Filters → rows of malformed intents, dead letters, routes or repairs, newest first. Reads only the columns that a
 * table shows.
 *
 * If matching rows are so rare that PostgreSQL does not find enough of them in time, only the newest rows are looked
 * at, and the result says so.
 */
import type pg from "pg";
import { inTime } from "./in_time.ts";
import { idsOfMillisecond } from "./notification_ids.ts";

export interface Filters {
  readonly since: Date | undefined;
  readonly type: string | undefined;
  readonly producer: string | undefined;
  readonly classification: string | undefined;
  readonly limit: number;
  /** Only for malformed intents. */
  readonly near: string | undefined;
}

export interface Found<Row> {
  readonly rows: readonly Row[];
  /** How many of the newest rows were looked at; `undefined` if all were. */
  readonly onlyNewest: number | undefined;
}

export interface MalformedRow {
  readonly stream: string;
  readonly stream_entry_id: string;
  readonly notification_type: string | null;
  readonly producer: string | null;
  readonly idempotency_key: string | null;
  readonly failure_code: string;
  readonly failure_message: string;
  readonly recorded_at: Date;
  /** The compressed size of `raw_fields` in PostgreSQL. */
  readonly kept_bytes: number;
}

const MALFORMED = {
  table: "notification.malformed_intents",
  columns: `stream, stream_entry_id, notification_type, producer, idempotency_key, failure_code, failure_message,
       recorded_at, pg_column_size(raw_fields) AS kept_bytes`,
  newestFirst: "recorded_at DESC",
};

export async function findMalformedRows(
  postgres: pg.Pool,
  { filters, stream }: { filters: Filters; stream: string },
): Promise<Found<MalformedRow>> {
  const { since, type, producer, classification, limit, near } = filters;
  const where = new Conditions();
  if (since !== undefined) where.add("recorded_at >= ?", since);
  if (type !== undefined) where.add("notification_type = ?", type);
  if (producer !== undefined) where.add("producer = ?", producer);
  if (classification !== undefined) where.add("failure_code = ?", classification);
  if (near !== undefined) return await findNear(postgres, where, { near, stream, limit });
  const found = await newest<MalformedRow>(postgres, { ...MALFORMED, where, limit });
  return { ...found, rows: [...found.rows].sort(newestEntryFirst) };
}

/** The primary key finds the rows on both sides; the two numbers of the ids decide which are the nearest. */
async function findNear(
  postgres: pg.Pool,
  where: Conditions,
  { near, stream, limit }: { near: string; stream: string; limit: number },
): Promise<Found<MalformedRow>> {
  where.add("stream = ?", stream);
  const id = where.value(near);
  const side = (comparison: string, order: string) =>
    `(SELECT ${MALFORMED.columns} FROM ${MALFORMED.table} WHERE ${where.sql} AND stream_entry_id ${comparison} ${id}
      ORDER BY stream_entry_id ${order} LIMIT ${2 * limit})`;
  const text = `
    SELECT * FROM (${side(">=", "ASC")} UNION ALL ${
    side("<", "DESC").replace("BY stream,", "BY stream DESC,")
  }) AS around
    ORDER BY abs(split_part(stream_entry_id, '-', 1)::numeric - split_part(${id}, '-', 1)::numeric),
      abs(split_part(stream_entry_id, '-', 2)::numeric - split_part(${id}, '-', 2)::numeric)
    LIMIT ${limit}`;
  const rows = (await postgres.query<MalformedRow>(text, where.values)).rows;
  return { rows: rows.sort(newestEntryFirst), onlyNewest: undefined };
}

/** Rows of one batch have the same time: they are sorted by their entries. */
function newestEntryFirst(left: MalformedRow, right: MalformedRow): number {
  const byTime = right.recorded_at.getTime() - left.recorded_at.getTime();
  if (byTime !== 0) return byTime;
  const [leftMs, leftSequence] = left.stream_entry_id.split("-").map(BigInt) as [bigint, bigint];
  const [rightMs, rightSequence] = right.stream_entry_id.split("-").map(BigInt) as [bigint, bigint];
  return rightMs === leftMs ? sign(rightSequence - leftSequence) : sign(rightMs - leftMs);
}

function sign(value: bigint): number {
  return value < 0n ? -1 : value > 0n ? 1 : 0;
}

export interface DeadLetterRow {
  readonly notification_id: string;
  readonly route_id: string;
  readonly channel: string;
  readonly recipient: string;
  readonly attempt_count: number;
  readonly max_attempts: number;
  readonly failure_classification: string;
  readonly failure_message: string;
  readonly created_at: Date;
  readonly notification_type: string | null;
  readonly producer: string | null;
}

export async function findDeadLetters(
  postgres: pg.Pool,
  { filters }: { filters: Filters },
): Promise<Found<DeadLetterRow>> {
  const { since, type, producer, classification, limit } = filters;
  const where = new Conditions();
  if (since !== undefined) where.add("row.created_at >= ?", since);
  if (type !== undefined) where.add("notification_type = ?", type);
  if (producer !== undefined) where.add("producer = ?", producer);
  if (classification !== undefined) where.add("failure_classification = ?", classification);
  return await newest<DeadLetterRow>(postgres, {
    table: "notification.dead_letters",
    columns: "row.*, record.notification_type, record.producer",
    join: "LEFT JOIN notification.records AS record USING (notification_id)",
    newestFirst: "row.created_at DESC, notification_id DESC, route_id",
    where,
    limit,
  });
}

export interface RouteRow {
  readonly notification_id: string;
  readonly route_id: string;
  readonly channel: string;
  readonly recipient: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly max_attempts: number;
  readonly next_attempt_at: Date | null;
  readonly last_error_classification: string | null;
  readonly last_error_message: string | null;
  readonly published_entry_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly notification_type: string;
  readonly producer: string;
}

export async function findRouteRows(postgres: pg.Pool, { filters }: { filters: Filters }): Promise<Found<RouteRow>> {
  const { since, type, producer, classification, limit } = filters;
  const where = new Conditions();
  // Ids sort by time, so that the primary key finds the newest rows, and the rows since a time.
  if (since !== undefined) where.add("notification_id >= ?::uuid", idsOfMillisecond(BigInt(since.getTime()))[0]);
  if (type !== undefined) where.add("notification_type = ?", type);
  if (producer !== undefined) where.add("producer = ?", producer);
  if (classification !== undefined) where.add("last_error_classification = ?", classification);
  return await newest<RouteRow>(postgres, {
    table: "notification.routes",
    columns: "row.*, record.notification_type, record.producer",
    join: "JOIN notification.records AS record USING (notification_id)",
    newestFirst: "notification_id DESC, route_id",
    where,
    limit,
  });
}

export interface RepairRow {
  readonly stream: string;
  /** The entries after `lost_after`, up to and including `lost_up_to`, are lost. */
  readonly lost_after: string;
  readonly lost_up_to: string;
  readonly detected_at: Date;
  /** Null while the repair is still open. */
  readonly finished_at: Date | null;
  readonly routes: number;
}

export async function findRepairRows(
  postgres: pg.Pool,
  { filters: { since, limit } }: { filters: Pick<Filters, "since" | "limit"> },
): Promise<Found<RepairRow>> {
  const where = new Conditions();
  if (since !== undefined) where.add("detected_at >= ?", since);
  return await newest<RepairRow>(postgres, {
    table: "notification.repairs",
    columns: "stream, lost_after, lost_up_to, detected_at, finished_at, routes::float8 AS routes",
    newestFirst: "detected_at DESC, stream",
    where,
    limit,
  });
}

/** The conditions of a WHERE clause; without any it is always true. */
class Conditions {
  readonly values: unknown[] = [];
  sql = "true";

  /** @param condition a `?` stands for the value */
  add(condition: string, value: unknown): void {
    this.sql += ` AND ${condition.replace("?", this.value(value))}`;
  }

  /** Adds a value and returns its placeholder. */
  value(value: unknown): string {
    return `$${this.values.push(value)}`;
  }
}

interface Listed {
  readonly table: string;
  readonly columns: string;
  readonly join?: string;
  readonly newestFirst: string;
  readonly where: Conditions;
  readonly limit: number;
}

const NEWEST = 20_000;

async function newest<Row extends pg.QueryResultRow>(
  postgres: pg.Pool,
  { table, columns, join = "", newestFirst, where, limit }: Listed,
): Promise<Found<Row>> {
  const select = (from: string) =>
    `SELECT ${columns} FROM ${from} AS row ${join} WHERE ${where.sql} ORDER BY ${newestFirst} LIMIT ${limit}`;
  const rows = await inTime<Row>(postgres, select(table), where.values);
  if (rows !== undefined) return { rows, onlyNewest: undefined };
  const order = newestFirst.replaceAll("row.", "");
  const some = select(`(SELECT * FROM ${table} ORDER BY ${order} LIMIT ${NEWEST})`);
  return { rows: (await postgres.query<Row>(some, where.values)).rows, onlyNewest: NEWEST };
}
