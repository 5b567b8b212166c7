/**
 * The setting, while an instance is frozen → what this one instance has in hand at this moment, as PostgreSQL and Redis
 * show it.
 */
import { consumerLeaseKey, routeLeaseKey } from "../../../src/redis/keys.ts";
import { type Instance, instanceOf, IS_OF_INSTANCE } from "../fleet.ts";
import { type Setting, STREAMS } from "../setting.ts";

const MOST_ROUTES = 2000;

/**
 * Whether a transaction of the instance, mostly of one statement, has written something and is not over: a batch is
 * being accepted, routes are being claimed, or outcomes written.
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
 * Whether a route is in its outbound stream that PostgreSQL doesn't know to be published, and that was accepted since
 * the instance is ready: what an earlier one left behind doesn't count. To be asked of an instance that works alone.
 */
export async function isBetweenHandOffAndCommit(setting: Setting, { readyAtMs }: Instance): Promise<boolean> {
  return (await liveRoutes(setting, readyAtMs)).handedOff > 0;
}

/**
 * Whether the instance has routes in hand that it has not handed off: it consumes, what it accepted in the last second
 * is not in the outbound stream, and neither is anything else that it did not record.
 */
export async function isBeforeHandOff(setting: Setting, { name }: Instance): Promise<boolean> {
  if (instanceOf(await setting.redis.get(consumerLeaseKey(STREAMS.intents))) !== name) return false;
  const { handedOff, waiting } = await liveRoutes(setting, Date.now() - 1000);
  return waiting > 0 && handedOff === 0;
}

/** Routes accepted since then that PostgreSQL doesn't know to be finished: in the outbound stream, or not. */
async function liveRoutes(setting: Setting, sinceMs: number): Promise<{ handedOff: number; waiting: number }> {
  const routes = await setting.query<{ notification_id: string; route_id: string }>(
    `SELECT notification_id, route_id FROM notification.routes
      WHERE next_attempt_at IS NOT NULL AND created_at >= to_timestamp($1::float8 / 1000) LIMIT $2`,
    [sinceMs, MOST_ROUTES],
  );
  if (routes.length === 0) return { handedOff: 0, waiting: 0 };
  const leases = await setting.redis.mget(routes.map((route) => routeLeaseKey(route.notification_id, route.route_id)));
  const handedOff = leases.filter((lease) => lease?.startsWith("published:")).length;
  return { handedOff, waiting: routes.length - handedOff };
}
