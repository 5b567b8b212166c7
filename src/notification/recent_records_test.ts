import assert from "node:assert/strict";
import { RecentRecords } from "./recent_records.ts";
import type { StoredRecord } from "./route.ts";

function record(notificationId: string, payload = "{}"): StoredRecord {
  return {
    notificationId,
    notificationType: "game.turn.ready",
    producer: "game-master",
    audienceKind: "user",
    payload,
    occurredAtMs: "1",
    acceptedAtMs: "2",
    requestId: "",
    traceId: "",
    traceparent: "",
    streamEntryId: "1-0",
    acceptedHereAt: "2.5",
  };
}

Deno.test("RecentRecords has the last 2,500 records and no more than 5,000, the newest of an id", () => {
  const records = new RecentRecords();
  for (let at = 0; at < 7_500; at++) {
    records.add(record(`n${at}`));
    for (const age of [0, Math.min(at, 2_499)]) {
      assert.equal(records.get(`n${at - age}`, "2.5")?.notificationId, `n${at - age}`);
    }
    assert.equal(records.get(`n${at - 5_000}`, "2.5"), undefined);
  }
  records.add(record("n7499", '{"again":true}'));
  assert.equal(records.get("n7499", "2.5")?.payload, '{"again":true}');
  assert.equal(records.get("n7499", "2.6"), undefined, "accepted again by another");
});

Deno.test("RecentRecords is bounded in payloads as well", () => {
  const records = new RecentRecords();
  const payload = "x".repeat(64 * 1024);
  for (let at = 0; at < 64; at++) records.add(record(`n${at}`, payload));
  records.add(record("too large", `${payload}x`));
  assert.equal(records.get("too large", "2.5"), undefined);
  assert.equal(records.get("n0", "2.5")?.payload, payload);
  assert.equal(records.get("n63", "2.5")?.payload, payload);
  records.add(record("n64", payload));
  assert.equal(records.get("n31", "2.5"), undefined);
  assert.equal(records.get("n32", "2.5")?.payload, payload);
  assert.equal(records.get("n64", "2.5")?.payload, payload);
});
