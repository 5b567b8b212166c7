/**
 * Due routes of a channel, claimed by locking their rows until the transaction ends.
 *
 * What another publisher has claimed is skipped, what a dead one had claimed is free again at once. A claim is bounded
 * in routes and in the bytes of the entries they make; a record comes once, however many of its routes are claimed.
 */
import type pg from "pg";
import type { Channel, DueRoute, StoredRecord } from "../notification/route.ts";
import { SEPARATOR, splitColumn } from "../postgres/columns.ts";

/** Bytes of payload that one pass publishes, a route at a time; one route always fits. */
export const MAX_PASS_BYTES = 4 * 1024 * 1024;

/** Before every route that can be due. */
export const FROM_THE_BEGINNING = "-infinity";

export interface Claim {
  readonly routes: readonly DueRoute[];
  /** Whether more routes may be due: the claim reached one of its bounds. */
  readonly isFull: boolean;
  /** The highest `next_attempt_at` claimed, as PostgreSQL writes it; empty when nothing was. */
  readonly upTo: string;
}

export interface ClaimOptions {
  readonly channel: Channel;
  readonly limit: number;
  /** Routes due before this time are not looked for, which spares a scan over index entries of finished routes. */
  readonly from: string;
  /** Routes set aside, as `<notification_id>/<route_id>`. */
  readonly except: readonly string[];
}

/** Columns of the reply: those of a route first, then those of a record. */
const ROUTE_COLUMNS = 7;

export async function claimDueRoutes(
  client: Pick<pg.ClientBase, "query">,
  { channel, limit, from, except }: ClaimOptions,
): Promise<Claim> {
  const { rows } = await client.query<[number, number, number, string | null, ...(string | null)[]]>({
    name: "claim_due_routes",
    rowMode: "array",
    text: CLAIM,
    values: [channel, from, limit, except, SEPARATOR, MAX_PASS_BYTES],
  });
  const [due, routeCount, recordCount, upTo, ...columns] = rows[0]!;
  const split = (texts: (string | null)[], count: number) => texts.map((text) => splitColumn(text, count));
  const records = recordsOf(split(columns.slice(ROUTE_COLUMNS), recordCount), recordCount);
  return {
    routes: routesOf(split(columns.slice(0, ROUTE_COLUMNS), routeCount), routeCount, records),
    isFull: due === limit || routeCount < due,
    upTo: upTo ?? "",
  };
}

// The record is looked up row by row: a join of two sets whose sizes the planner doesn't know would now and then become
// one of every route with every record (seen: 25 ms in the place of 4). A record of several routes comes with the first of
// them, so that its payload is unpacked once. A route whose record is gone comes too, or it would be claimed for ever.
const CLAIM = `
  WITH due AS MATERIALIZED (
    SELECT notification_id, route_id, recipient, recipient_email, locale, attempt_count, max_attempts, next_attempt_at
    FROM notification.routes
    WHERE channel = $1 AND next_attempt_at >= $2::timestamptz AND next_attempt_at <= now()
      AND (cardinality($4::text[]) = 0 OR notification_id || '/' || route_id <> ALL ($4))
    ORDER BY next_attempt_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
  ), ordered AS (
    SELECT *, lag(notification_id) OVER (ORDER BY next_attempt_at, notification_id) IS DISTINCT FROM notification_id
      AS is_first
    FROM due
  ), grouped AS (
    SELECT *, count(*) FILTER (WHERE is_first) OVER (ORDER BY next_attempt_at, notification_id ROWS UNBOUNDED PRECEDING)
      AS record_number
    FROM ordered LEFT JOIN LATERAL (
      SELECT notification_type, producer, audience_kind, payload::text AS payload, occurred_at, accepted_at, request_id,
        trace_id, traceparent, stream_entry_id
      FROM notification.records AS record
      WHERE is_first AND record.notification_id = ordered.notification_id
      OFFSET 0
    ) AS record ON true
  ), sized AS (
    SELECT *, max(octet_length(payload)) OVER (PARTITION BY record_number) AS bytes FROM grouped
  ), counted AS (
    SELECT *, sum(bytes) OVER (ORDER BY record_number ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before FROM sized
  ), claimed AS (
    SELECT *, count(*) OVER () AS due, bytes IS NULL OR bytes_before IS NULL OR bytes_before < $6 AS taken FROM counted
  )
  SELECT coalesce(max(due), 0)::int, count(*)::int, (count(*) FILTER (WHERE is_first))::int,
    max(next_attempt_at)::text,
    string_agg(notification_id::text, $5),
    string_agg(route_id, $5),
    string_agg(recipient, $5),
    string_agg(coalesce(recipient_email, ''), $5),
    string_agg(coalesce(locale, ''), $5),
    string_agg(attempt_count::text, $5),
    string_agg(max_attempts::text, $5),
    string_agg(notification_id::text, $5) FILTER (WHERE is_first),
    string_agg(coalesce(notification_type, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(producer, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(audience_kind, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(payload, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce((extract(epoch FROM occurred_at) * 1000)::bigint, 0)::text, $5) FILTER (WHERE is_first),
    string_agg(coalesce(floor(extract(epoch FROM accepted_at) * 1000)::bigint, 0)::text, $5) FILTER (WHERE is_first),
    string_agg(coalesce(request_id, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(trace_id, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(traceparent, ''), $5) FILTER (WHERE is_first),
    string_agg(coalesce(stream_entry_id, '0-0'), $5) FILTER (WHERE is_first)
  FROM claimed WHERE taken`;

function recordsOf(columns: string[][], count: number): Map<string, StoredRecord> {
  const [ids, types, producers, audiences, payloads, occurred, accepted, requestIds, traceIds, traceparents, entryIds] =
    columns as [
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
      string[],
    ];
  const records = new Map<string, StoredRecord>();
  for (let at = 0; at < count; at++) {
    records.set(ids[at]!, {
      notificationId: ids[at]!,
      notificationType: types[at]!,
      producer: producers[at]!,
      audienceKind: audiences[at]!,
      payload: payloads[at]!,
      occurredAtMs: occurred[at]!,
      acceptedAtMs: accepted[at]!,
      requestId: requestIds[at]!,
      traceId: traceIds[at]!,
      traceparent: traceparents[at]!,
      streamEntryId: entryIds[at]!,
    });
  }
  return records;
}

function routesOf(columns: string[][], count: number, records: ReadonlyMap<string, StoredRecord>): DueRoute[] {
  const [ids, routeIds, recipients, emails, locales, attempts, limits] = columns as [
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
    string[],
  ];
  const routes: DueRoute[] = [];
  for (let at = 0; at < count; at++) {
    routes.push({
      record: records.get(ids[at]!)!,
      routeId: routeIds[at]!,
      recipient: recipients[at]!,
      recipientEmail: emails[at]!,
      locale: locales[at]!,
      attemptCount: Number(attempts[at]),
      maxAttempts: Number(limits[at]),
    });
  }
  return routes;
}

/** Milliseconds until the next route of the channel becomes due that is not due yet; nothing when there is none. */
export async function nextDueInMs(
  client: Pick<pg.ClientBase, "query">,
  channel: Channel,
): Promise<number | undefined> {
  const { rows } = await client.query<[number | null]>({
    name: "next_due",
    rowMode: "array",
    text: `
      SELECT ceil(extract(epoch FROM (min(next_attempt_at) - now())) * 1000)::float8
      FROM notification.routes WHERE channel = $1 AND next_attempt_at > now()`,
    values: [channel],
  });
  const milliseconds = rows[0]?.[0];
  return typeof milliseconds === "number" ? Math.max(0, milliseconds) : undefined;
}
