// What one attempt makes of a route, and that no sequence of attempts makes a route do what its state diagram forbids.

import assert from "node:assert/strict";
import fc from "fast-check";
import { CHANNELS, type RouteStatus } from "../notification/route.ts";
import { claimedRoute } from "../notification/test_examples.ts";
import { type Attempt, settle } from "./settle.ts";

const ladder = { backoffMinMs: 1_000, backoffMaxMs: 300_000 };
const push = { channel: "push", ladder, random: 0.5 } as const;
const refused: Attempt = { kind: "refused", message: "WRONGTYPE Operation against a key" };

Deno.test("settle() publishes a route with the id of its entry", () => {
  const route = claimedRoute();
  const settlement = settle(route, { kind: "published", entryId: "5-1" }, push);
  assert.deepEqual(settlement, { kind: "published", route, entryId: "5-1" });
});

Deno.test("settle() leaves a route as it is when nothing is known about it", () => {
  const route = claimedRoute({ attemptCount: 2 });
  assert.deepEqual(settle(route, { kind: "unanswered" }, push), { kind: "unchanged", route });
});

Deno.test("settle() gives a route up at once that can't be encoded", () => {
  const route = claimedRoute({ maxAttempts: 7 });
  assert.deepEqual(settle(route, { kind: "not_encodable", message: "no such type" }, push), {
    kind: "dead_letter",
    route,
    failure: { classification: "payload_encoding_failed", message: "no such type" },
  });
});

Deno.test("settle() schedules another attempt by the ladder, until the last", () => {
  const delays = [0, 1, 2].map((attemptCount) => {
    const settlement = settle(claimedRoute({ attemptCount, maxAttempts: 3 }), refused, push);
    return settlement.kind === "failed" ? settlement.retryInMs : settlement.kind;
  });
  assert.deepEqual(delays, [1_000, 2_000, "dead_letter"]);
  assert.equal(settle(claimedRoute({ maxAttempts: 1 }), refused, push).kind, "dead_letter");
});

Deno.test("settle() classifies a refusal by the channel", () => {
  const classifications = CHANNELS.map((channel) => {
    const settlement = settle(claimedRoute(), refused, { ...push, channel });
    return settlement.kind === "failed" ? settlement.failure : undefined;
  });
  assert.deepEqual(classifications, [
    { classification: "gateway_stream_publish_failed", message: refused.message },
    { classification: "mail_stream_publish_failed", message: refused.message },
  ]);
});

/** Section 5 of the contract: what a publisher may do to a route. */
const LEGAL: Readonly<Record<RouteStatus, readonly RouteStatus[]>> = {
  pending: ["published", "failed", "dead_letter"],
  failed: ["failed", "published", "dead_letter"],
  published: [],
  dead_letter: [],
  skipped: [],
};

Deno.test("settle() makes legal moves only and never uses more attempts than there are", () => {
  const attempt: fc.Arbitrary<Attempt> = fc.oneof(
    { weight: 1, arbitrary: fc.constant<Attempt>({ kind: "published", entryId: "1-1" }) },
    { weight: 6, arbitrary: fc.constant<Attempt>(refused) },
    { weight: 4, arbitrary: fc.constant<Attempt>({ kind: "unanswered" }) },
    { weight: 1, arbitrary: fc.constant<Attempt>({ kind: "not_encodable", message: "x" }) },
  );
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const sequence = fc.array(fc.tuple(attempt, random), { maxLength: 30 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 10 }), sequence, (maxAttempts, attempts) => {
    let status: RouteStatus = "pending";
    let attemptCount = 0;
    let refusals = 0;
    for (const [each, random] of attempts) {
      const settlement = settle(claimedRoute({ attemptCount, maxAttempts }), each, { ...push, random });
      if (settlement.kind === "unchanged") {
        assert.equal(each.kind, "unanswered");
        continue;
      }
      assert.ok(LEGAL[status].includes(settlement.kind), `${status} → ${settlement.kind}`);
      status = settlement.kind;
      // As `record.ts` does.
      attemptCount++;
      if (each.kind === "refused") refusals++;
      assert.ok(attemptCount <= maxAttempts);
      if (settlement.kind === "failed") {
        assert.ok(settlement.retryInMs > 0 && settlement.retryInMs <= ladder.backoffMaxMs);
      } else break;
    }
    if (status === "dead_letter" && refusals === attemptCount) assert.equal(attemptCount, maxAttempts);
  }));
});
