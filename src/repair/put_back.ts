/**
 * An open repair → the routes whose published entries are lost are put back to `pending`, or only counted. Each call
 * looks at a bounded number of routes.
 *
 * The search goes through all routes by primary key, which begins with the time of the intent, from the newest to the
 * oldest: the lost ones usually come first, and no extra index is needed. Its position is committed with each batch, so
 * that another process can continue. Redis may use the ids of lost entries again, so routes that were published after
 * the detection are not taken as lost.
 */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";
import { isBeforeSql } from "../stream_offset/stream_offset.ts";

export interface RepairBatch {
  readonly stream: string;
  /** How many routes of this batch have lost entries. */
  readonly lost: number;
  /** How many routes the repair has found so far. */
  readonly routes: number;
  readonly isFinished: boolean;
  /** Milliseconds since the detection. */
  readonly durationMs: number;
}

const TAKES = { push_stream: "text", email_stream: "text", limit: "integer", republish: "integer" } as const;

const PUT_BACK = statement({ name: "put_back", takes: TAKES }, (p) => `
WITH repair AS MATERIALIZED (
  SELECT *, CASE stream WHEN ${p.push_stream} THEN 'push' WHEN ${p.email_stream} THEN 'email' END AS channel
  FROM notification.repairs
  WHERE finished_at IS NULL AND stream IN (${p.push_stream}, ${p.email_stream})
  ORDER BY detected_at, stream
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), looked AS MATERIALIZED (
  SELECT route.*
  FROM repair, LATERAL (
    SELECT notification_id, route_id, channel, status, published_entry_id, updated_at
    FROM notification.routes
    WHERE (notification_id, route_id) < (repair.next_notification_id, repair.next_route_id)
    ORDER BY notification_id DESC, route_id DESC
    LIMIT ${p.limit}
  ) AS route
), lost AS MATERIALIZED (
  SELECT notification_id, route_id
  FROM looked JOIN repair USING (channel)
  WHERE status = 'published' AND updated_at <= detected_at
    AND ${isBeforeSql("lost_after", "published_entry_id")} AND NOT ${isBeforeSql("lost_up_to", "published_entry_id")}
), put_back AS (
  UPDATE notification.routes AS route
  SET status = 'pending', attempt_count = greatest(0, attempt_count - 1), next_attempt_at = now(),
    published_entry_id = NULL, updated_at = now()
  FROM lost
  WHERE route.notification_id = lost.notification_id AND route.route_id = lost.route_id
    AND route.status = 'published' AND ${p.republish} = 1
), last AS (
  SELECT notification_id, route_id FROM looked ORDER BY notification_id, route_id LIMIT 1
)
UPDATE notification.repairs AS known
SET routes = known.routes + (SELECT count(*) FROM lost),
  next_notification_id = coalesce((SELECT notification_id FROM last), known.next_notification_id),
  next_route_id = coalesce((SELECT route_id FROM last), known.next_route_id),
  finished_at = CASE WHEN (SELECT count(*) FROM looked) < ${p.limit} THEN now() END
FROM repair
WHERE known.stream = repair.stream AND known.detected_at = repair.detected_at
RETURNING known.stream, (SELECT count(*) FROM lost)::int AS lost, known.routes::int AS routes,
  known.finished_at IS NOT NULL AS "isFinished",
  (extract(epoch FROM now() - known.detected_at) * 1000)::float8 AS "durationMs"`);

export interface PutBackOptions {
  readonly streams: { readonly push: string; readonly email: string };
  readonly limit: number;
  readonly isRepublished: boolean;
}

/** Returns `undefined` when no repair is open, or other processes work on all open repairs. */
export async function putBackLost(
  client: Pick<pg.ClientBase, "query">,
  { streams, limit, isRepublished }: PutBackOptions,
): Promise<RepairBatch | undefined> {
  const values = { push_stream: streams.push, email_stream: streams.email, limit, republish: isRepublished ? 1 : 0 };
  const { rows } = await client.query<RepairBatch & pg.QueryResultRow>(PUT_BACK(values));
  return rows[0];
}
