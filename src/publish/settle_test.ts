/**
 * The outcome of one attempt; and no sequence of attempts moves a route against its state diagram.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { CHANNELS, type RouteStatus } from "../notification/route.ts";
import { claimedRoute } from "../../tests/support/examples.ts";
import type { HandOffAnswer } from "./hand_off.ts";
import { settle } from "./settle.ts";

const ladder = { backoffMinMs: 1_000, backoffMaxMs: 300_000 };
const push = { channel: "push", ladder, random: 0.5, nowMs: 1763000000123 } as const;
const publication = { stream: "gateway:client-events", entryId: "5-1", epoch: "e1" };
const refused: HandOffAnswer = { kind: "refused", message: "WRONGTYPE Operation against a key" };

Deno.test("settle() publishes a route with the id of its entry", () => {
  const route = claimedRoute();
  const outcome = settle(route, { kind: "published", publication }, push);
  assert.deepEqual(outcome, { kind: "published", route, publication });
});

Deno.test("settle() leaves a route as it is when nothing is known about it", () => {
  const route = claimedRoute({ attemptCount: 2 });
  for (const kind of ["unanswered", "late"] as const) {
    assert.deepEqual(settle(route, { kind }, push), { kind: "unchanged", route, reason: kind });
  }
});

const problem = { kind: "unusable", message: "no such member" } as const;

Deno.test("settle() gives a route up at once that can't be encoded", () => {
  const route = claimedRoute({ maxAttempts: 7, record: { problem } });
  assert.deepEqual(settle(route, { kind: "absent" }, push), {
    kind: "dead_letter",
    route,
    failure: { classification: "payload_encoding_failed", message: "no such member" },
  });
});

Deno.test("settle() leaves a type that the catalog doesn't know to others for an hour after the acceptance", () => {
  const route = claimedRoute({ record: { problem: { kind: "unknown_type", message: "not in the catalog" } } });
  const acceptedAtMs = Number(route.record.acceptedAtMs);
  const outcomeAt = (nowMs: number) => settle(route, { kind: "absent" }, { ...push, nowMs });
  assert.deepEqual(outcomeAt(acceptedAtMs + 3_599_999), { kind: "unchanged", route, reason: "unknown_type" });
  assert.equal(outcomeAt(acceptedAtMs + 3_600_000).kind, "dead_letter");
  assert.equal(settle(route, { kind: "published", publication }, push).kind, "published");
});

Deno.test("settle() schedules another attempt by the ladder, until the last", () => {
  const delays = [0, 1, 2].map((attemptCount) => {
    const outcome = settle(claimedRoute({ attemptCount, maxAttempts: 3 }), refused, push);
    return outcome.kind === "failed" ? outcome.retryInMs : outcome.kind;
  });
  assert.deepEqual(delays, [1_000, 2_000, "dead_letter"]);
  assert.equal(settle(claimedRoute({ maxAttempts: 1 }), refused, push).kind, "dead_letter");
});

Deno.test("settle() classifies a refusal by the channel", () => {
  const classifications = CHANNELS.map((channel) => {
    const outcome = settle(claimedRoute(), refused, { ...push, channel });
    return outcome.kind === "failed" ? outcome.failure : undefined;
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
  const answer: fc.Arbitrary<HandOffAnswer> = fc.oneof(
    { weight: 1, arbitrary: fc.constant<HandOffAnswer>({ kind: "published", publication }) },
    { weight: 6, arbitrary: fc.constant<HandOffAnswer>(refused) },
    { weight: 4, arbitrary: fc.constant<HandOffAnswer>({ kind: "unanswered" }) },
    { weight: 1, arbitrary: fc.constant<HandOffAnswer>({ kind: "absent" }) },
  );
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const sequence = fc.array(fc.tuple(answer, random), { maxLength: 30 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 10 }), sequence, (maxAttempts, attempts) => {
    let status: RouteStatus = "pending";
    let attemptCount = 0;
    let refusals = 0;
    for (const [each, random] of attempts) {
      const outcome = settle(claimedRoute({ attemptCount, maxAttempts }), each, { ...push, random });
      if (outcome.kind === "unchanged") {
        assert.equal(each.kind, "unanswered");
        continue;
      }
      assert.ok(LEGAL[status].includes(outcome.kind), `${status} → ${outcome.kind}`);
      status = outcome.kind;
      // As `write_outcomes.ts` does.
      attemptCount++;
      if (each.kind === "refused") refusals++;
      assert.ok(attemptCount <= maxAttempts);
      if (outcome.kind === "failed") {
        assert.ok(outcome.retryInMs > 0 && outcome.retryInMs <= ladder.backoffMaxMs);
      } else break;
    }
    if (status === "dead_letter" && refusals === attemptCount) assert.equal(attemptCount, maxAttempts);
  }));
});
