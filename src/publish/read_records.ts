/**
 * The records of claimed routes, bounded in bytes; each record is read once, however many of its routes are claimed.
 */
import type pg from "pg";
import { bigint, packed, type PackedRow, returnedText, rows, uuid } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";

/** A row of `records`, as far as the outbound entries of its routes need it. */
export type RecordRow = ReturnType<typeof RECORDS.unpack>[number];

const RECORDS = packed({
  notificationId: returnedText("notification_id"),
  notificationType: returnedText("notification_type"),
  producer: returnedText("producer"),
  audienceKind: returnedText("audience_kind"),
  payload: returnedText("payload"),
  occurredAtMs: returnedText("coalesce((extract(epoch FROM occurred_at) * 1000)::bigint, 0)"),
  acceptedAtMs: returnedText("coalesce(floor(extract(epoch FROM accepted_at) * 1000)::bigint, 0)"),
  requestId: returnedText("request_id"),
  traceId: returnedText("trace_id"),
  traceparent: returnedText("traceparent"),
  streamEntryId: returnedText("coalesce(stream_entry_id, '0-0')"),
});

type Wanted = readonly [notificationId: string, routes: number];

const WANTED = rows<Wanted>()({ notification_id: uuid(([id]) => id), routes: bigint(([, routes]) => routes) });

// The record is looked up row by row: the planner doesn't know the sizes of the two sets, and sometimes joins every id
// with every record (seen: 25 ms instead of 4).
const READ_RECORDS = statement({ name: "read_records", takes: { wanted: WANTED, max_bytes: "bigint" } }, (p) => `
WITH wanted AS (
  SELECT *, row_number() OVER () AS ordinal FROM ${p.wanted()}
), found AS (
  SELECT wanted.notification_id, ordinal, coalesce(octet_length(payload), 0) * routes AS bytes, notification_type, producer,
    audience_kind, payload, occurred_at, accepted_at, request_id, trace_id, traceparent, stream_entry_id
  FROM wanted
  LEFT JOIN LATERAL (
    SELECT notification_type, producer, audience_kind, payload::text AS payload, occurred_at, accepted_at, request_id,
      trace_id, traceparent, stream_entry_id
    FROM notification.records AS record
    WHERE record.notification_id = wanted.notification_id
    OFFSET 0
  ) AS record ON true
), counted AS (
  SELECT *, sum(bytes) OVER (ORDER BY ordinal ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before FROM found
)
SELECT
    ${RECORDS.list}
FROM counted
WHERE bytes_before < ${p.max_bytes}`);

/**
 * Reads records, in the given order, until the entries of their routes have `maxBytes` of payload; the first record is
 * always returned. A record that no longer exists is returned without a type.
 *
 * @param wanted how many routes of each record are claimed, by notification id
 */
export async function readRecords(
  client: Pick<pg.ClientBase, "query">,
  { wanted, maxBytes }: { readonly wanted: ReadonlyMap<string, number>; readonly maxBytes: number },
): Promise<RecordRow[]> {
  if (wanted.size === 0) return [];
  const { rows } = await client.query<PackedRow>(READ_RECORDS({ wanted: [...wanted], max_bytes: maxBytes }));
  return RECORDS.unpack(rows[0]!);
}
