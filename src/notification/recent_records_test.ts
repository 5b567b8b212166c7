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
  };
}

Deno.test("RecentRecords keeps the last records, also where one comes again", () => {
  const records = new RecentRecords();
  for (let at = 0; at < 5_001; at++) records.add(record(`n${at}`));
  assert.equal(records.get("n0"), undefined);
  assert.equal(records.get("n1")?.notificationId, "n1");
  records.add(record("n1", '{"again":true}'));
  assert.equal(records.get("n1")?.payload, '{"again":true}');
  records.add(record("new"));
  assert.equal(records.get("n2"), undefined);
  assert.equal(records.get("n1")?.payload, '{"again":true}');
});

Deno.test("RecentRecords is bounded in payloads, so that one record may be too large to be kept", () => {
  const records = new RecentRecords();
  const half = "x".repeat(2 * 1024 * 1024);
  for (const id of ["a", "b", "c"]) records.add(record(id, half));
  assert.equal(records.get("a"), undefined);
  assert.equal(records.get("b")?.payload, half);
  records.add(record("huge", half.repeat(3)));
  assert.equal(records.get("huge"), undefined);
  assert.equal(records.get("c"), undefined);
  records.add(record("small"));
  assert.equal(records.get("small")?.payload, "{}");
});
