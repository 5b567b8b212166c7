/**
 * The setting, while an instance is frozen → which unfinished work this instance has now, as PostgreSQL and Redis show
 * it.
 */
import { consumerLeaseKey, routeLeaseKey } from "../../../src/redis/keys.ts";
import { type Instance, instanceOf, IS_OF_INSTANCE } from "../fleet.ts";
import { type Setting, STREAMS } from "../setting.ts";

const MAX_ROUTES = 2000;

/**
 * Whether the instance has an open transaction that has written something: it accepts a batch, claims routes or writes
 * outcomes.
 */
export async function isInTransaction(setting: Setting, { name }: Instance): Promise<boolean> {
  const [row] = await setting.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity
      WHERE ${IS_OF_INSTANCE} AND backend_xid IS NOT NULL) AS found`,
    [name],
  );
  return row?.found ?? false;
}

/**
 * Whether a route is in its outbound stream but not published according to PostgreSQL. Only routes accepted since the
 * instance became ready are counted, because earlier ones may belong to an earlier instance. Call this only if the
 * instance is the only one.
 */
export async function isBetweenHandOffAndCommit(setting: Setting, { readyAtMs }: Instance): Promise<boolean> {
  return (await liveRoutes(setting, readyAtMs)).handedOff > 0;
}

/**
 * Whether the instance has accepted routes that it has not handed off yet: it holds the consumer lease, some routes of
 * the last second are unfinished, and none of these is in its outbound stream.
 */
export async function isBeforeHandOff(setting: Setting, { name }: Instance): Promise<boolean> {
  if (instanceOf(await setting.redis.get(consumerLeaseKey(STREAMS.intents))) !== name) return false;
  const { handedOff, waiting } = await liveRoutes(setting, Date.now() - 1000);
  return waiting > 0 && handedOff === 0;
}

/**
 * Counts the routes accepted since `sinceMs` that are unfinished according to PostgreSQL: those in their outbound
 * stream (`handedOff`) and the others (`waiting`).
 */
async function liveRoutes(setting: Setting, sinceMs: number): Promise<{ handedOff: number; waiting: number }> {
  const routes = await setting.query<{ notification_id: string; route_id: string }>(
    `SELECT notification_id, route_id FROM notification.routes
      WHERE next_attempt_at IS NOT NULL AND created_at >= to_timestamp($1::float8 / 1000) LIMIT $2`,
    [sinceMs, MAX_ROUTES],
  );
  if (routes.length === 0) return { handedOff: 0, waiting: 0 };
  const leases = await setting.redis.mget(routes.map((route) => routeLeaseKey(route.notification_id, route.route_id)));
  const handedOff = leases.filter((lease) => lease?.startsWith("published:")).length;
  return { handedOff, waiting: routes.length - handedOff };
}
