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
export const MAX_PASS_BYTES = 16 * 1024 * 1024;

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

const RECORD_COLUMNS = 11;

export async function claimDueRoutes(
  client: Pick<pg.ClientBase, "query">,
  { channel, limit, from, except }: ClaimOptions,
): Promise<Claim> {
  const { rows } = await client.query<(string | number | null)[]>({
    name: "claim_due_routes",
    rowMode: "array",
    text: `
      WITH due AS MATERIALIZED (
        SELECT notification_id, route_id, recipient, recipient_email, locale, attempt_count, max_attempts,
          next_attempt_at
        FROM notification.routes
        WHERE channel = $1 AND next_attempt_at >= $2::timestamptz AND next_attempt_at <= now()
          AND (cardinality($4::text[]) = 0 OR notification_id || '/' || route_id <> ALL ($4))
        ORDER BY next_attempt_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
      ), sized AS MATERIALIZED (
        SELECT record.*, octet_length(record.payload::text) AS payload_bytes
        FROM notification.records AS record
        WHERE record.notification_id IN (SELECT notification_id FROM due)
      ), counted AS MATERIALIZED (
        SELECT due.*, sum(payload_bytes) OVER (ORDER BY next_attempt_at, notification_id, route_id) - payload_bytes
          AS bytes_before
        FROM due JOIN sized USING (notification_id)
      ), taken AS MATERIALIZED (
        SELECT * FROM counted WHERE bytes_before < $6
      ), routes AS (
        SELECT count(*)::int AS number, max(next_attempt_at)::text AS up_to,
          string_agg(notification_id::text, $5) AS ids,
          string_agg(route_id, $5) AS route_ids,
          string_agg(recipient, $5) AS recipients,
          string_agg(coalesce(recipient_email, ''), $5) AS emails,
          string_agg(coalesce(locale, ''), $5) AS locales,
          string_agg(attempt_count::text, $5) AS attempts,
          string_agg(max_attempts::text, $5) AS limits
        FROM taken
      ), records AS (
        SELECT count(*)::int AS number,
          string_agg(notification_id::text, $5) AS ids,
          string_agg(notification_type, $5) AS types,
          string_agg(producer, $5) AS producers,
          string_agg(audience_kind, $5) AS audiences,
          string_agg(payload::text, $5) AS payloads,
          string_agg((extract(epoch FROM occurred_at) * 1000)::bigint::text, $5) AS occurred,
          string_agg(floor(extract(epoch FROM accepted_at) * 1000)::bigint::text, $5) AS accepted,
          string_agg(coalesce(request_id, ''), $5) AS request_ids,
          string_agg(coalesce(trace_id, ''), $5) AS trace_ids,
          string_agg(coalesce(traceparent, ''), $5) AS traceparents,
          string_agg(stream_entry_id, $5) AS entry_ids
        FROM sized WHERE notification_id IN (SELECT notification_id FROM taken)
      )
      SELECT (SELECT count(*)::int FROM due), routes.*, records.* FROM routes, records`,
    values: [channel, from, limit, except, SEPARATOR, MAX_PASS_BYTES],
  });
  const [due, routeCount, upTo, ...columns] = rows[0] as [number, number, string | null, ...(string | null)[]];
  const routeColumns = columns.slice(0, 7).map((text) => splitColumn(text, routeCount));
  const recordCount = columns[7] as unknown as number;
  const recordColumns = columns.slice(8, 8 + RECORD_COLUMNS).map((text) => splitColumn(text, recordCount));
  const records = recordsOf(recordColumns, recordCount);
  return {
    routes: routesOf(routeColumns, routeCount, records),
    isFull: due === limit || routeCount < due,
    upTo: upTo ?? "",
  };
}

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
