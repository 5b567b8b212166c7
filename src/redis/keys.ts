/** The names of all keys that the service has in Redis, apart from the streams, which the configuration names. */

/** Who consumes the stream: a string, the instance's id. */
export function consumerLeaseKey(stream: string): string {
  return `notification:consumer_lease:${stream}`;
}

/** How far the stream is consumed: a hash, the public copy of the row in `stream_offsets`. */
export function streamOffsetKey(stream: string): string {
  return `notification:stream_offset:${stream}`;
}

/** The replication id of the server that was last checked for losses: a string. */
export function redisEpochKey(): string {
  return "notification:redis_epoch";
}

/** Where the outbound streams ended when each of the last epochs was checked: a hash, a field for each stream. */
export function epochBeginningsKey(): string {
  return "notification:redis_epoch_beginnings";
}

/** What intake waits for while it can't go on: a string, JSON. */
export function intakeStallKey(stream: string): string {
  return `notification:intake_stall:${stream}`;
}

/** Whether the route is published: a string, `published:<entry id>`. */
export function routeLeaseKey(notificationId: string, routeId: string): string {
  return `${ROUTE_LEASES}${notificationId}:${routeId}`;
}

/** How every {@link routeLeaseKey} begins. */
export const ROUTE_LEASES = "route_leases:";

/** Every {@link routeLeaseKey}, as a glob-style pattern. */
export const ROUTE_LEASE_PATTERN = `${ROUTE_LEASES}*`;
