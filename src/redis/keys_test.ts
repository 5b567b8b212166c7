/**
 * The keys' names are part of the contract (docs/contract.md, sections 6 and 7): operators, access control lines and
 * older instances use them.
 */
import assert from "node:assert/strict";
import { consumerLeaseKey, ROUTE_LEASE_PATTERN, routeLeaseKey, streamOffsetKey } from "./keys.ts";

Deno.test("the names of the keys are those of the contract", () => {
  assert.equal(consumerLeaseKey("notification:intents"), "notification:consumer_lease:notification:intents");
  assert.equal(streamOffsetKey("notification:intents"), "notification:stream_offset:notification:intents");
  assert.equal(routeLeaseKey("1-0", "push:user:u1"), "route_leases:1-0:push:user:u1");
  assert.equal(ROUTE_LEASE_PATTERN, "route_leases:*");
});
