/**
 * Due routes of a channel → claimed ones: one statement moves their `next_attempt_at` ahead (`relay/batch.ts`). Routes
 * that another process is claiming at this moment are skipped.
 */
import type pg from "pg";
import { type Channel, CLAIM_MS, type ClaimedRoute } from "../notification/route.ts";
import { packed, type PackedRow, returnedNumber, returnedText } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";

/** A time before all due times. */
export const FROM_THE_BEGINNING = "-infinity";

export interface ClaimOptions {
  readonly channel: Channel;
  readonly limit: number;
  /** Routes due before this time are not claimed, which avoids a scan over index entries of finished routes. */
  readonly from: string;
}

/** A claimed route whose record has not been read yet. */
export type UnreadRoute = Omit<ClaimedRoute, "record"> & { readonly notificationId: string };

export interface Claim {
  /** In the order in which they were due. */
  readonly routes: readonly UnreadRoute[];
  /** Whether more may be due. */
  readonly isFull: boolean;
  /** All routes that were due up to this time are claimed, except rows that were locked; as PostgreSQL writes it. */
  readonly upTo: string;
  /** Milliseconds until the next route becomes due; absent when the claim is full, or no other route is live. */
  readonly nextDueInMs: number | undefined;
}

const CLAIMED = packed({
  notificationId: returnedText("notification_id"),
  routeId: returnedText("route_id"),
  recipient: returnedText("recipient"),
  recipientEmail: returnedText("recipient_email"),
  locale: returnedText("locale"),
  attemptCount: returnedNumber("attempt_count"),
  maxAttempts: returnedNumber("max_attempts"),
});

const CLAIM_DUE = statement(
  { name: "claim_due", takes: { channel: "text", from: "timestamptz", limit: "integer" } },
  (p) => `
WITH due AS MATERIALIZED (
  SELECT notification_id, route_id, next_attempt_at AS due_at
  FROM notification.routes
  WHERE channel = ${p.channel} AND next_attempt_at >= ${p.from} AND next_attempt_at <= now()
  ORDER BY next_attempt_at
  LIMIT ${p.limit}
  FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE notification.routes AS route
  SET next_attempt_at = now() + interval '${CLAIM_MS} milliseconds'
  FROM due
  WHERE route.notification_id = due.notification_id AND route.route_id = due.route_id
  RETURNING route.notification_id, route.route_id, recipient, recipient_email, locale, attempt_count, max_attempts, due_at
)
SELECT
    ${CLAIMED.list},
    (now() + interval '${CLAIM_MS} milliseconds')::text AS claimed_until,
    coalesce(CASE count(*) WHEN ${p.limit} THEN max(due_at) END, now())::text AS up_to,
    -- By subtraction of numbers: an operator may have parked a route at 'infinity'.
    CASE WHEN count(*) < ${p.limit} THEN (
      SELECT ((extract(epoch FROM min(next_attempt_at)) - extract(epoch FROM now())) * 1000)::float8
      FROM notification.routes
      WHERE channel = ${p.channel} AND next_attempt_at > now()
    ) END AS next_due_in_ms
FROM (SELECT * FROM claimed ORDER BY due_at) AS claimed`,
);

type ClaimedRow = PackedRow & {
  readonly claimed_until: string;
  readonly up_to: string;
  readonly next_due_in_ms: number | null;
};

export async function claimDue(client: Pick<pg.ClientBase, "query">, options: ClaimOptions): Promise<Claim> {
  const { rows } = await client.query<ClaimedRow>(CLAIM_DUE({ ...options }));
  const row = rows[0]!;
  return {
    routes: CLAIMED.unpack(row).map((route) => ({ ...route, claimedUntil: row.claimed_until })),
    isFull: row.row_count === options.limit,
    upTo: row.up_to,
    nextDueInMs: row.next_due_in_ms ?? undefined,
  };
}
