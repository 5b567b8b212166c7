/** When a loop counts as stuck, by a clock that the test moves. */
import assert from "node:assert/strict";
import { Heartbeats, stuckAfterMs } from "./heartbeats.ts";

function heartbeats() {
  const time = { now: 0 };
  return { time, hearts: new Heartbeats({ stuckAfterMs: 1000, now: () => time.now }) };
}

Deno.test("stuckLoop() names a loop whose pass goes on for too long", () => {
  const { time, hearts } = heartbeats();
  hearts.passBegan("intent_consumer");
  time.now = 1000;
  hearts.passBegan("push_publisher");
  assert.equal(hearts.stuckLoop(), undefined);
  time.now = 1001;
  assert.equal(hearts.stuckLoop(), "intent_consumer");
  hearts.passEnded("intent_consumer");
  assert.equal(hearts.stuckLoop(), undefined);
});

Deno.test("a loop is not stuck between two passes, nor while it shows progress", () => {
  const { time, hearts } = heartbeats();
  hearts.passBegan("intent_consumer");
  hearts.passEnded("intent_consumer");
  hearts.passBegan("email_publisher");
  time.now = 900;
  hearts.beat("email_publisher");
  hearts.beat("intent_consumer"); // a late sign does not begin a pass
  time.now = 1900;
  assert.equal(hearts.stuckLoop(), undefined);
  time.now = 10_000;
  assert.equal(hearts.stuckLoop(), "email_publisher");
});

Deno.test("no wait that the configuration allows makes a loop stuck", () => {
  const [readBlockTimeoutMs, userServiceTimeoutMs] = [600_000, 300_000];
  const time = { now: 0 };
  const hearts = new Heartbeats({
    stuckAfterMs: stuckAfterMs({ readBlockTimeoutMs, userServiceTimeoutMs }),
    now: () => time.now,
  });
  hearts.passBegan("intent_consumer");
  time.now = readBlockTimeoutMs + userServiceTimeoutMs + 10_000;
  assert.equal(hearts.stuckLoop(), undefined);
  time.now += 60_000;
  assert.equal(hearts.stuckLoop(), "intent_consumer");
});
