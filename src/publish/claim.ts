/**
 * Due routes of a channel, claimed by locking their rows until the transaction ends, and their records.
 *
 * What another publisher has claimed is skipped, what a dead one had claimed is free again at once; what was accepted less
 * than {@link FRESH_MS} ago is its acceptor's. A claim is bounded in routes and in the size of the entries they make; a
 * record is read once, however many of its routes are claimed.
 */
import type pg from "pg";
import { FRESH_MS } from "../notification/fresh_routes.ts";
import type { Channel, DueRoute, StoredRecord } from "../notification/route.ts";
import { joinColumn, SEPARATOR, splitColumn } from "../postgres/columns.ts";

type Queryable = Pick<pg.ClientBase, "query">;

/** Of payload that one pass publishes, a route at a time: bytes where it is read, characters of what is kept. One route always fits. */
export const MAX_PASS_BYTES = 2 * 1024 * 1024;

/** Before every route that can be due. */
export const FROM_THE_BEGINNING = "-infinity";

export interface Claim {
  readonly routes: readonly DueRoute[];
  /** Whether more routes may be due: the claim reached one of its bounds. */
  readonly isFull: boolean;
  /** Up to which `next_attempt_at` all was claimed, as PostgreSQL writes it; empty when not all of it was. */
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

interface LockedRoute extends Omit<DueRoute, "record"> {
  readonly notificationId: string;
}

/** Routes whose rows are locked, which are a claim once they have their records. */
export interface LockedRoutes {
  readonly due: readonly LockedRoute[];
  readonly upTo: string;
  readonly limit: number;
}

/** The claim of locked routes: all of them, unless their payloads are too large together. */
export async function withRecords(
  client: Queryable,
  { due, upTo, limit }: LockedRoutes,
): Promise<Claim> {
  const records = await recordsOf(client, due);
  const routes: DueRoute[] = [];
  let payloadCharacters = 0;
  for (const { notificationId, ...route } of due) {
    const record = records.get(notificationId);
    if (record === undefined || payloadCharacters >= MAX_PASS_BYTES) break;
    payloadCharacters += record.payload.length;
    routes.push({ record, ...route });
  }
  const isCut = routes.length < due.length;
  return { routes, isFull: isCut || due.length === limit, upTo: isCut ? "" : upTo };
}

/** Changes nothing by itself: outside of a transaction the locks are gone at once. */
export async function lockDueRoutes(
  client: Queryable,
  { channel, limit, from, except }: ClaimOptions,
): Promise<LockedRoutes> {
  const { rows } = await client.query<[number, string, ...(string | null)[]]>({
    name: "lock_due_routes",
    rowMode: "array",
    text: `
      WITH due AS MATERIALIZED (
        SELECT notification_id, route_id, recipient, recipient_email, locale, attempt_count, max_attempts, next_attempt_at
        FROM notification.routes
        WHERE channel = $1 AND next_attempt_at >= $2::timestamptz AND next_attempt_at <= now()
          AND (attempt_count > 0 OR next_attempt_at <= now() - interval '${FRESH_MS} milliseconds')
          AND (cardinality($4::text[]) = 0 OR notification_id || '/' || route_id <> ALL ($4))
        ORDER BY next_attempt_at
        LIMIT $3
        FOR UPDATE SKIP LOCKED
      )
      SELECT count(*)::int,
        least(CASE count(*) WHEN $3 THEN max(next_attempt_at) END, now() - interval '${FRESH_MS} milliseconds')::text,
        string_agg(notification_id::text, $5),
        string_agg(route_id, $5),
        string_agg(recipient, $5),
        string_agg(coalesce(recipient_email, ''), $5),
        string_agg(coalesce(locale, ''), $5),
        string_agg(attempt_count::text, $5),
        string_agg(max_attempts::text, $5)
      FROM due`,
    values: [channel, from, limit, except, SEPARATOR],
  });
  const [count, upTo, ...texts] = rows[0]!;
  const [ids, routeIds, recipients, emails, locales, attempts, limits] = texts.map((text) =>
    splitColumn(text, count)
  ) as [string[], string[], string[], string[], string[], string[], string[]];
  const due: LockedRoute[] = [];
  for (let at = 0; at < count; at++) {
    due.push({
      notificationId: ids[at]!,
      routeId: routeIds[at]!,
      recipient: recipients[at]!,
      recipientEmail: emails[at]!,
      locale: locales[at]!,
      attemptCount: Number(attempts[at]),
      maxAttempts: Number(limits[at]),
    });
  }
  return { due, upTo, limit };
}

/** The routes' records by id; when they are too large together, only those of the first routes. */
async function recordsOf(client: Queryable, due: readonly LockedRoute[]): Promise<Map<string, StoredRecord>> {
  const counts = new Map<string, number>();
  for (const { notificationId } of due) counts.set(notificationId, (counts.get(notificationId) ?? 0) + 1);
  if (counts.size === 0) return new Map();
  return new Map((await selectRecords(client, counts)).map((record) => [record.notificationId, record]));
}

/**
 * Reads records, in the order given, until the entries of their routes have {@link MAX_PASS_BYTES}. One that is gone comes
 * without a type, or its routes would be claimed for ever.
 *
 * @param routeCounts how many routes of each are claimed, by id
 */
async function selectRecords(client: Queryable, routeCounts: ReadonlyMap<string, number>): Promise<StoredRecord[]> {
  const { rows } = await client.query<[number, ...(string | null)[]]>({
    name: "select_records",
    rowMode: "array",
    text: SELECT_RECORDS,
    values: [SEPARATOR, joinColumn([...routeCounts.keys()]), joinColumn([...routeCounts.values()]), MAX_PASS_BYTES],
  });
  const [count, ...texts] = rows[0]!;
  const columns = texts.map((text) => splitColumn(text, count));
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
  const records: StoredRecord[] = [];
  for (let at = 0; at < count; at++) {
    records.push({
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

// The record is looked up row by row: a join of two sets whose sizes the planner doesn't know would now and then become
// one of every id with every record (seen: 25 ms in the place of 4).
const SELECT_RECORDS = `
  WITH found AS (
    SELECT asked.notification_id, ordinal, coalesce(octet_length(payload), 0) * routes AS bytes, notification_type, producer,
      audience_kind, payload, occurred_at, accepted_at, request_id, trace_id, traceparent, stream_entry_id
    FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1)::int8[])
      WITH ORDINALITY AS asked (notification_id, routes, ordinal)
    LEFT JOIN LATERAL (
      SELECT notification_type, producer, audience_kind, payload::text AS payload, occurred_at, accepted_at, request_id,
        trace_id, traceparent, stream_entry_id
      FROM notification.records AS record
      WHERE record.notification_id = asked.notification_id
      OFFSET 0
    ) AS record ON true
  ), counted AS (
    SELECT *, sum(bytes) OVER (ORDER BY ordinal ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before FROM found
  )
  SELECT count(*)::int,
    string_agg(notification_id::text, $1),
    string_agg(coalesce(notification_type, ''), $1),
    string_agg(coalesce(producer, ''), $1),
    string_agg(coalesce(audience_kind, ''), $1),
    string_agg(coalesce(payload, ''), $1),
    string_agg(coalesce((extract(epoch FROM occurred_at) * 1000)::bigint, 0)::text, $1),
    string_agg(coalesce(floor(extract(epoch FROM accepted_at) * 1000)::bigint, 0)::text, $1),
    string_agg(coalesce(request_id, ''), $1),
    string_agg(coalesce(trace_id, ''), $1),
    string_agg(coalesce(traceparent, ''), $1),
    string_agg(coalesce(stream_entry_id, '0-0'), $1)
  FROM counted WHERE bytes_before < $4`;

/** Milliseconds until the next route of the channel becomes due that is not due yet; nothing when there is none. */
export async function nextDueInMs(
  client: Queryable,
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
