/** The supervisor's status line: its content, how often it is written, and that an outage does not end it. */
import assert from "node:assert/strict";
import type { Clock } from "../clock.ts";
import { reportStatus, statusLine, type WaitingWork } from "./report_status.ts";

const BACKLOG: WaitingWork = { intents: { lag: 7, stalledMs: 65_000 }, depth: { push: 3, email: 0 } };

Deno.test("statusLine() shows lag and depth", () => {
  assert.equal(statusLine(BACKLOG), "Running: lag 7, depth push 3, email 0");
});

Deno.test("statusLine() names what intake waits for", () => {
  const stall = { dependency: "user_service", reason: "it answered with status 503", entryId: "1-0", recipient: "u1" };
  const line = statusLine({ ...BACKLOG, intents: { ...BACKLOG.intents, stall } });
  const waits = 'entry 1-0 waits for user "u1": it answered with status 503 (user_service)';
  assert.equal(line, `${statusLine(BACKLOG)}; stalled for 65 s: ${waits}`);
});

Deno.test("reportStatus() reports again and again, less often when counting is slow, and also during an outage", async () => {
  const stop = new AbortController();
  const reported: string[] = [];
  const sleeps: number[] = [];
  let now = 0;
  // Meanwhile the system's clock is set ahead again and again.
  let setAheadMs = 0;
  const costs = [0, 1000, 0];
  const clock: Clock = {
    now: () => now + setAheadMs,
    monotonic: () => now,
    random: () => 0,
    sleep: (ms) => {
      sleeps.push(ms);
      if (sleeps.length === costs.length) stop.abort();
      return Promise.resolve();
    },
  };
  const read = () => {
    now += costs[sleeps.length]!;
    setAheadMs += 3_600_000;
    return sleeps.length === 2 ? Promise.reject(new Error("away")) : Promise.resolve(BACKLOG);
  };
  await reportStatus({
    systemd: { isListening: true, status: (line) => reported.push(line) },
    read,
    stop: stop.signal,
    clock,
  });
  assert.deepEqual(sleeps, [10_000, 49_000, 10_000]);
  assert.deepEqual(reported, [
    statusLine(BACKLOG),
    statusLine(BACKLOG),
    "A dependency is unavailable; the service resumes by itself",
  ]);
});
