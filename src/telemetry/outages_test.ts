/** An outage is logged once when it begins and once when the last loop has passed it. */
import assert from "node:assert/strict";
import { captureLog } from "../../tests/support/captured_log.ts";
import type { Clock } from "../clock.ts";
import { Outages } from "./outages.ts";

const time = { now: 0, setAheadMs: 0 };
const clock: Clock = {
  now: () => time.now + time.setAheadMs,
  monotonic: () => time.now,
  random: () => 0,
  sleep: () => Promise.resolve(),
};

Deno.test("Outages logs an outage once, and once when it is over for all loops", async () => {
  await using log = captureLog();
  const outages = new Outages(clock);
  time.now = 1_000;
  outages.began("redis", "push_publisher", { reason: "no connection" });
  outages.began("redis", "email_publisher", { reason: "no connection either" });
  outages.began("redis", "push_publisher", { reason: "still none" });
  outages.over("intent_consumer");
  outages.over("push_publisher");
  assert.equal((await log.lines()).length, 1);
  time.now = 4_500;
  outages.over("email_publisher");
  outages.over("email_publisher");
  const lines = (await log.lines()).map(({ time: _, ...line }) => line);
  assert.deepEqual(lines, [
    {
      level: "warn",
      logger: "dependencies",
      message: "dependency is unavailable",
      dependency: "redis",
      first_seen_by: "push_publisher",
      reason: "no connection",
    },
    {
      level: "info",
      logger: "dependencies",
      message: "dependency is available again",
      dependency: "redis",
      outage_ms: 3_500,
    },
  ]);
});

Deno.test("Outages keeps dependencies apart, and ends all outages of a loop that has done a pass", async () => {
  await using log = captureLog();
  const outages = new Outages(clock);
  outages.began("redis", "push_publisher", { reason: "r" });
  outages.began("postgres", "push_publisher", { reason: "p" });
  outages.began("postgres", "retention_cleaner", { reason: "p" });
  outages.over("push_publisher");
  outages.began("redis", "push_publisher", { reason: "r" });
  outages.over("retention_cleaner");
  const reported = (await log.lines()).map(({ level, dependency }) => `${level} ${dependency}`);
  assert.deepEqual(reported, ["warn redis", "warn postgres", "info redis", "warn redis", "info postgres"]);
});

Deno.test("Outages measures an outage by the monotonic clock", async () => {
  await using log = captureLog();
  const outages = new Outages(clock);
  outages.began("redis", "push_publisher", { reason: "r" });
  time.now += 250.4;
  time.setAheadMs = 3_600_000;
  outages.over("push_publisher");
  const [, over] = await log.lines();
  assert.equal(over?.["outage_ms"], 250);
});

Deno.test("Outages ends the outages of dependencies that have answered, although another one is out", async () => {
  await using log = captureLog();
  const outages = new Outages(clock);
  outages.began("redis", "intent_consumer", { reason: "r" });
  outages.began("postgres", "intent_consumer", { reason: "p" });
  outages.began("postgres", "push_publisher", { reason: "p" });
  outages.over("intent_consumer", ["redis", "postgres"]);
  outages.over("push_publisher", ["redis"]);
  outages.began("user_service", "intent_consumer", { reason: "u" });
  outages.over("push_publisher");
  const reported = (await log.lines()).map(({ level, dependency }) => `${level} ${dependency}`);
  assert.deepEqual(reported, ["warn redis", "warn postgres", "info redis", "warn user_service", "info postgres"]);
});

Deno.test("Outages logs an intent stream that can't be read as an error", async () => {
  await using log = captureLog();
  new Outages(clock).began("intent_stream", "intent_consumer", { reason: "WRONGTYPE" });
  assert.deepEqual(await log.messages(), ["error dependency is unavailable"]);
});
