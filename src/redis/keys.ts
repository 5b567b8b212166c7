/** The keys that this service keeps in Redis. Contract, section 6. */

export function consumerLeaseKey(stream: string): string {
  return `notification:consumer_lease:${stream}`;
}

export function streamOffsetKey(stream: string): string {
  return `notification:stream_offset:${stream}`;
}

export function routeLeaseKey(notificationId: string, routeId: string): string {
  return `route_leases:${notificationId}:${routeId}`;
}
