/** Filters → rows of malformed intents, dead letters or routes, newest first, and their lines for people. Reads only. */
import type pg from "pg";
import { idsOfMillisecond } from "./notification_ids.ts";
import { type Cell, paint, table, wrap } from "./terminal.ts";
import { relative } from "./time_words.ts";

export interface Filters {
  readonly since: Date | undefined;
  readonly type: string | undefined;
  readonly producer: string | undefined;
  readonly classification: string | undefined;
  readonly limit: number;
  /** Malformed only. */
  readonly near: string | undefined;
}

export interface ListOptions {
  readonly filters: Filters;
  readonly stream: string;
  readonly nowMs: number;
}

export interface Listing {
  readonly rows: readonly object[];
  readonly lines: readonly string[];
}

/** A row of `malformed_intents`. */
export interface MalformedIntent {
  readonly stream: string;
  readonly stream_entry_id: string;
  /** What could be read of it. */
  readonly notification_type: string | null;
  readonly producer: string | null;
  readonly idempotency_key: string | null;
  readonly failure_code: string;
  readonly failure_message: string;
  readonly raw_fields: unknown;
  readonly recorded_at: Date;
}

export async function listMalformed(postgres: pg.Pool, { filters, stream, nowMs }: ListOptions): Promise<Listing> {
  const { since, type, producer, classification, limit, near } = filters;
  // The ones around an entry: by the distance of the ids' two numbers, which are larger than a bigint can be. The entry
  // itself has none.
  const { rows } = await postgres.query<MalformedIntent>(
    `SELECT * FROM (
       SELECT * FROM notification.malformed_intents
       WHERE ($1::timestamptz IS NULL OR recorded_at >= $1) AND ($2::text IS NULL OR notification_type = $2)
         AND ($3::text IS NULL OR producer = $3) AND ($4::text IS NULL OR failure_code = $4)
         AND ($6::text IS NULL OR stream = $7)
       ORDER BY CASE WHEN $6::text IS NOT NULL
           THEN abs(split_part(stream_entry_id, '-', 1)::numeric - split_part($6, '-', 1)::numeric) END,
         CASE WHEN $6::text IS NOT NULL
           THEN abs(split_part(stream_entry_id, '-', 2)::numeric - split_part($6, '-', 2)::numeric) END,
         recorded_at DESC
       LIMIT $5
     ) AS found
     ORDER BY recorded_at DESC, split_part(stream_entry_id, '-', 1)::numeric DESC,
       split_part(stream_entry_id, '-', 2)::numeric DESC`,
    [since, type, producer, classification, limit, near, stream],
  );
  const lines = withDetails(
    table(
      ["RECORDED", "CODE", "ENTRY"],
      rows.map((row): Cell[] => [
        relative(row.recorded_at, nowMs),
        ["red", row.failure_code],
        row.stream_entry_id,
      ]),
    ),
    rows.map((row) => [
      row.notification_type ?? "-",
      `${row.producer ?? "-"}/${row.idempotency_key ?? "-"}: ${row.failure_message}`,
    ]),
  );
  return { rows, lines };
}

interface DeadLetterRow {
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

export async function listDeadLetters(postgres: pg.Pool, { filters, nowMs }: ListOptions): Promise<Listing> {
  const { since, type, producer, classification, limit } = filters;
  const { rows } = await postgres.query<DeadLetterRow>(
    `SELECT dead.*, record.notification_type, record.producer
     FROM notification.dead_letters AS dead LEFT JOIN notification.records AS record USING (notification_id)
     WHERE ($1::timestamptz IS NULL OR dead.created_at >= $1) AND ($2::text IS NULL OR notification_type = $2)
       AND ($3::text IS NULL OR producer = $3) AND ($4::text IS NULL OR failure_classification = $4)
     ORDER BY dead.created_at DESC, notification_id DESC, route_id
     LIMIT $5`,
    [since, type, producer, classification, limit],
  );
  const lines = withDetails(
    table(
      ["DIED", "CHANNEL", "ATTEMPTS", "TYPE"],
      rows.map((row): Cell[] => [
        relative(row.created_at, nowMs),
        row.channel,
        `${row.attempt_count} of ${row.max_attempts}`,
        row.notification_type ?? "-",
      ]),
    ),
    rows.map((row) => [row.notification_id, row.route_id, `${row.failure_classification}: ${row.failure_message}`]),
  );
  return { rows, lines };
}

interface RouteRow {
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

const STATUS_STYLE = { failed: "yellow", dead_letter: "red", published: "green" } as const;

export async function listRoutes(postgres: pg.Pool, { filters, nowMs }: ListOptions): Promise<Listing> {
  const { since, type, producer, classification, limit } = filters;
  // Ids sort by time, so that the primary key finds the newest and those since a time.
  const { rows } = await postgres.query<RouteRow>(
    `SELECT route.*, record.notification_type, record.producer
     FROM notification.routes AS route JOIN notification.records AS record USING (notification_id)
     WHERE notification_id >= $1::uuid AND ($2::text IS NULL OR notification_type = $2)
       AND ($3::text IS NULL OR producer = $3) AND ($4::text IS NULL OR last_error_classification = $4)
     ORDER BY notification_id DESC, route_id
     LIMIT $5`,
    [idsOfMillisecond(BigInt(since?.getTime() ?? 0))[0], type, producer, classification, limit],
  );
  const lines = withDetails(
    table(
      ["ACCEPTED", "STATUS", "ATTEMPTS", "TYPE"],
      rows.map((row): Cell[] => [
        relative(row.created_at, nowMs),
        styled(row.status),
        `${row.attempt_count} of ${row.max_attempts}`,
        row.notification_type,
      ]),
    ),
    rows.map((row) => {
      const next = row.next_attempt_at === null ? [] : [`next attempt ${relative(row.next_attempt_at, nowMs)}`];
      const message = row.last_error_message === null ? "" : `: ${row.last_error_message}`;
      const why = row.last_error_classification === null ? [] : [`${row.last_error_classification}${message}`];
      return [row.notification_id, row.route_id, ...next, ...why];
    }),
  );
  return { rows, lines };
}

export function styled(status: string): Cell {
  const style = Object.hasOwn(STATUS_STYLE, status) ? STATUS_STYLE[status as keyof typeof STATUS_STYLE] : undefined;
  return style === undefined ? status : [style, status];
}

/** A table's lines with paragraphs under each row, where ids are whole, each at the beginning of a line. */
function withDetails([header = "", ...rows]: readonly string[], details: readonly (readonly string[])[]): string[] {
  const below = (at: number) => (details[at] ?? []).flatMap((detail) => wrap(detail, 6));
  return [header, ...rows.flatMap((row, at) => [row, ...below(at).map((line) => paint("dim", line))])];
}
