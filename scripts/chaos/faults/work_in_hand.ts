// In: the setting, while an instance is frozen. Out: what the instance has in hand at this moment, as PostgreSQL and
// Redis show it.

import type { Setting } from "../setting.ts";

const MOST_ROUTES = 2000;

/** Whether routes are accepted and not finished. */
export async function isWorkLeft(setting: Setting): Promise<boolean> {
  const [row] = await setting.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT FROM notification.routes WHERE next_attempt_at IS NOT NULL) AS found",
  );
  return row?.found ?? false;
}

/**
 * Whether the instance has claimed routes that it has not handed off: PostgreSQL has answered the claim, and Redis has
 * heard nothing.
 */
export async function isHoldingClaim(setting: Setting, instance: string): Promise<boolean> {
  const [row] = await setting.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity
      WHERE application_name = 'notification-service/' || $1 AND state = 'idle in transaction'
        AND query LIKE '%notification.routes%FOR UPDATE SKIP LOCKED%') AS found`,
    [instance],
  );
  return (row?.found ?? false) && await isWorkLeft(setting) && !await isBetweenHandOffAndCommit(setting);
}

/** Whether a route is in its outbound stream that PostgreSQL doesn't know to be published. */
export async function isBetweenHandOffAndCommit(setting: Setting): Promise<boolean> {
  const routes = await setting.query<{ key: string }>(
    `SELECT 'route_leases:' || notification_id || ':' || route_id AS key
       FROM notification.routes WHERE next_attempt_at IS NOT NULL LIMIT $1`,
    [MOST_ROUTES],
  );
  if (routes.length === 0) return false;
  const leases = await setting.redis.mget(routes.map(({ key }) => key));
  return leases.some((lease) => lease?.startsWith("published:"));
}
