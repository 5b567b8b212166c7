/** The names of all keys of the service in Redis, except the streams, which the configuration names. */

/** Which instance consumes the stream: a string, the process id. */
export function consumerLeaseKey(stream: string): string {
  return `notification:consumer_lease:${stream}`;
}

/** The offset of the stream: a hash, the public copy of the row in `stream_offsets`. */
export function streamOffsetKey(stream: string): string {
  return `notification:stream_offset:${stream}`;
}

/** The replication id of the server that was last checked for losses: a string. */
export function redisEpochKey(): string {
  return "notification:redis_epoch";
}

/** The end of each outbound stream when each of the last epochs was checked: a hash, a field for each stream. */
export function epochBeginningsKey(): string {
  return "notification:redis_epoch_beginnings";
}

/** What intake waits for while it can't continue: a string, JSON. */
export function intakeStallKey(stream: string): string {
  return `notification:intake_stall:${stream}`;
}

/** Whether the route is published: a string, `published:<entry id>`. */
export function routeLeaseKey(notificationId: string, routeId: string): string {
  return `${ROUTE_LEASES}${notificationId}:${routeId}`;
}

/** The beginning of every {@link routeLeaseKey}. */
export const ROUTE_LEASES = "route_leases:";

/** A glob-style pattern for every {@link routeLeaseKey}. */
export const ROUTE_LEASE_PATTERN = `${ROUTE_LEASES}*`;
