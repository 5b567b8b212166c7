/** The entry of the client event stream, field by field. */
import assert from "node:assert/strict";
import { clientEvent } from "./client_event.ts";
import { claimedRoute } from "../../tests/support/examples.ts";

const payload = ' {"turn_number": 12345678901234567890, "price":1.10,"name":"\\u2603☃"}';

Deno.test("clientEvent() has the fields of the contract, in its order", () => {
  const route = claimedRoute({ routeId: "push:user:user:1", recipient: "user:user:1", record: { payload } });
  const id = `${route.record.notificationId}/push:user:user:1`;
  assert.deepEqual(clientEvent(route), [
    ...["user_id", "user:1"],
    ...["event_type", "game.turn.ready"],
    ...["event_id", id],
    ...["payload_bytes", payload],
    ...["occurred_at_ms", "1763000000000"],
  ]);
});

Deno.test("clientEvent() adds each correlation field that is known", () => {
  const known = { requestId: "r-1", traceId: "t-1", traceparent: "00-1" };
  const added = (record: Partial<typeof known>) => clientEvent(claimedRoute({ record })).slice(10);
  assert.deepEqual(added(known), ["request_id", "r-1", "trace_id", "t-1", "traceparent", "00-1"]);
  assert.deepEqual(added({ traceId: "t-1" }), ["trace_id", "t-1"]);
  assert.deepEqual(added({ requestId: "r-1", traceparent: "00-1" }), ["request_id", "r-1", "traceparent", "00-1"]);
});
