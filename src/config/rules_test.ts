/** Each rule: with values that break it, with values that just keep it, and without one of its values. */
import assert from "node:assert/strict";
import { brokenRules } from "./rules.ts";

const streams = {
  INTENTS_STREAM: "a",
  GATEWAY_CLIENT_EVENTS_STREAM: "b",
  MAIL_DELIVERY_COMMANDS_STREAM: "c",
};

Deno.test("brokenRules() reports a shortest back-off that is longer than the longest", () => {
  assert.deepEqual(brokenRules({ ROUTE_BACKOFF_MIN: 5, ROUTE_BACKOFF_MAX: 5 }), []);
  assert.deepEqual(brokenRules({ ROUTE_BACKOFF_MIN: 6, ROUTE_BACKOFF_MAX: 5 }), [
    "NOTIFICATION_ROUTE_BACKOFF_MIN should not be longer than NOTIFICATION_ROUTE_BACKOFF_MAX",
  ]);
  assert.deepEqual(brokenRules({ ROUTE_BACKOFF_MIN: 6 }), []);
});

Deno.test("brokenRules() reports time-outs that can outlast a claim", () => {
  assert.deepEqual(brokenRules({ POSTGRES_OPERATION_TIMEOUT: 5_999, REDIS_OPERATION_TIMEOUT: 2_000 }), []);
  assert.deepEqual(brokenRules({ POSTGRES_OPERATION_TIMEOUT: 6_000, REDIS_OPERATION_TIMEOUT: 2_000 }), [
    "NOTIFICATION_POSTGRES_OPERATION_TIMEOUT plus twice NOTIFICATION_REDIS_OPERATION_TIMEOUT should be less than 10s " +
    "(the life of a claim)",
  ]);
  assert.deepEqual(brokenRules({ POSTGRES_OPERATION_TIMEOUT: 60_000 }), []);
});

Deno.test("brokenRules() reports streams that are not different", () => {
  assert.deepEqual(brokenRules(streams), []);
  const pairs = [
    ["INTENTS_STREAM", "GATEWAY_CLIENT_EVENTS_STREAM"],
    ["INTENTS_STREAM", "MAIL_DELIVERY_COMMANDS_STREAM"],
    ["GATEWAY_CLIENT_EVENTS_STREAM", "MAIL_DELIVERY_COMMANDS_STREAM"],
  ] as const;
  for (const [one, other] of pairs) {
    assert.deepEqual(brokenRules({ ...streams, [other]: streams[one] }), [
      `NOTIFICATION_${one} and NOTIFICATION_${other} should be two different streams`,
    ]);
  }
  const same = { INTENTS_STREAM: "a", GATEWAY_CLIENT_EVENTS_STREAM: "a", MAIL_DELIVERY_COMMANDS_STREAM: "a" };
  assert.equal(brokenRules(same).length, 3);
  assert.deepEqual(brokenRules({ INTENTS_STREAM: "a" }), []);
});
