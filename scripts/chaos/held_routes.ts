/**
 * The bytes of a hand-off or a statement that a proxy holds back → the routes in them, and the present state of these
 * routes in PostgreSQL and Redis.
 */
import { routeLeaseKey } from "../../src/redis/keys.ts";
import type { Setting } from "./setting.ts";

export interface HeldRoute {
  readonly notificationId: string;
  readonly routeId: string;
}

const LEASE_KEY = new RegExp(`"leaseKey":"${routeLeaseKey("([0-9a-f-]{36})", '([^"]+)')}"`, "g");

/** The routes of a hand-off. */
export function routesOfHandOff(text: string): HeldRoute[] {
  const leases = text.matchAll(LEASE_KEY);
  return [...leases].map(([, notificationId, routeId]) => ({ notificationId: notificationId!, routeId: routeId! }));
}

/**
 * The routes of a statement that writes outcomes: its first parameters are the keys of the routes. Empty if the bytes
 * are cut off between these parameters.
 */
export function routesOfStatement(text: string): HeldRoute[] {
  const notificationIds = text.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? [];
  // deno-lint-ignore no-control-regex -- the characters that separate values, and the lengths of parameters
  const routeIds = text.match(/(push|email):(user|address|config):[^\x00-\x1f]+/g) ?? [];
  if (routeIds.length !== notificationIds.length) return [];
  return routeIds.map((routeId, at) => ({ notificationId: notificationIds[at]!, routeId }));
}

/** How many of the routes have this status. */
export async function countStatus(setting: Setting, routes: readonly HeldRoute[], status: string): Promise<number> {
  const [row] = await setting.query<{ number: number }>(
    `SELECT count(*)::int AS number FROM notification.routes
      WHERE status = $1 AND (notification_id, route_id) IN (SELECT * FROM unnest($2::uuid[], $3::text[]))`,
    [status, routes.map(({ notificationId }) => notificationId), routes.map(({ routeId }) => routeId)],
  );
  return row?.number ?? 0;
}

/** How many of the routes are in their outbound stream, but not written as published to PostgreSQL. */
export async function publishedUnwritten(setting: Setting, routes: readonly HeldRoute[]): Promise<number> {
  if (routes.length === 0) return 0;
  const leases = await setting.redis.mget(routes.map((route) => routeLeaseKey(route.notificationId, route.routeId)));
  const published = routes.filter((_, at) => leases[at]?.startsWith("published:"));
  return published.length - await countStatus(setting, published, "published");
}
