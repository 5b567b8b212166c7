/**
 * The hand-off script on a real Redis: at most one entry per route, whatever the lease says and however old the claim
 * is.
 */
import assert from "node:assert/strict";
import { type Delivery, handOff, type HandOffOptions } from "../../src/publish/hand_off.ts";
import { CLAIM_MS } from "../../src/notification/route.ts";
import { redisTimeMs } from "../../src/redis/time.ts";
import { redisEpochKey, routeLeaseKey } from "../../src/redis/keys.ts";
import type { RedisConnection } from "../../src/redis/connection.ts";
import { openStage } from "../support/stage.ts";

function delivery(name: string, fields = ["event_id", name]): Delivery {
  return { leaseKey: routeLeaseKey(name, "push"), fields };
}

const published = (entryId: string, epoch: string) => ({
  kind: "published",
  publication: { stream: "out", entryId, epoch },
});

async function options(redis: RedisConnection, changes: Partial<HandOffOptions> = {}): Promise<HandOffOptions> {
  return {
    stream: "out",
    maxLength: 0,
    leaseTtlMs: 60_000,
    waitReplicas: 0,
    waitMs: 100,
    claim: { takenAtMs: await redisTimeMs(redis), lifeMs: CLAIM_MS },
    ...changes,
  };
}

Deno.test("handOff() appends each entry once and answers the same id the second time", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const deliveries = Array.from({ length: 250 }, (_, at) => delivery(`n${at}`));
  const first = await handOff(redis, deliveries, await options(redis));
  const second = await handOff(redis, deliveries, await options(redis));
  assert.equal(first.outage, undefined);
  assert.deepEqual(second, first);
  assert.equal(await stage.redis.xlen("out"), 250);
  const entries = await stage.redis.xrange("out", "-", "+");
  const epoch = await stage.redis.get(redisEpochKey()) ?? "";
  assert.deepEqual(
    first.answers,
    entries.map(([entryId]) => published(entryId, epoch)),
    "answers come in the order of the deliveries",
  );
});

for (
  const [name, ageMs] of [["as old as its life", CLAIM_MS], ["from the future", -5000]] as const
) {
  Deno.test(`handOff() appends nothing for a claim ${name}, but returns earlier publications`, async () => {
    await using stage = await openStage();
    const redis = await stage.connection();
    await handOff(redis, [delivery("before")], await options(redis));
    const claim = { takenAtMs: await redisTimeMs(redis) - ageMs, lifeMs: CLAIM_MS };
    const { answers, outage } = await handOff(
      redis,
      [delivery("new"), delivery("before")],
      await options(redis, { claim }),
    );
    assert.equal(outage, undefined);
    assert.deepEqual(answers.map(({ kind }) => kind), ["late", "published"]);
    assert.equal(await stage.redis.xlen("out"), 1);
  });
}

Deno.test("handOff() appends nothing more of a batch when the checked epoch changes between two of its calls", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const deliveries = Array.from({ length: 250 }, (_, at) => delivery(`n${at}`));
  // All calls are sent at once: the last delivery of the first one changes the epoch by setting it as its lease.
  deliveries[99] = { ...deliveries[99]!, leaseKey: redisEpochKey() };
  const { answers, outage } = await handOff(redis, deliveries, await options(redis));
  const kinds = (from: number, to: number) => [...new Set(answers.slice(from, to).map(({ kind }) => kind))];
  assert.deepEqual([answers.length, kinds(0, 100), kinds(100, 250)], [250, ["published"], ["unanswered"]]);
  assert.equal(outage?.code, "EPOCH");
  assert.equal(await stage.redis.xlen("out"), 100);
  assert.equal(await stage.redis.exists(...deliveries.slice(100).map(({ leaseKey }) => leaseKey)), 0);
});

Deno.test("handOff() trims the outbound stream approximately if configured", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const deliveries = Array.from({ length: 1000 }, (_, at) => delivery(`n${at}`));
  await handOff(redis, deliveries, await options(redis, { maxLength: 100 }));
  const length = await stage.redis.xlen("out");
  assert.ok(length >= 100 && length < 300, `${length}`);
});

Deno.test("handOff() splits large entries over calls and hands all of them off", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const deliveries = Array.from({ length: 20 }, (_, at) => delivery(`n${at}`, ["p", "x".repeat(300_000)]));
  const { answers } = await handOff(redis, deliveries, await options(redis));
  assert.ok(answers.every(({ kind }) => kind === "published"));
  assert.equal(await stage.redis.xlen("out"), 20);
});

Deno.test("handOff() has no answer for routes after a lost connection, and a retry appends nothing twice", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const deliveries = Array.from({ length: 500 }, (_, at) => delivery(`n${at}`));
  const handing = handOff(redis, deliveries, await options(redis));
  await stage.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  const { answers, outage } = await handing;
  assert.equal(answers.length, 500);
  if (answers.some(({ kind }) => kind === "unanswered")) assert.ok(outage !== undefined);
  const again = await stage.connection();
  const { answers: second } = await handOff(again, deliveries, await options(again));
  assert.ok(second.every(({ kind }) => kind === "published"));
  assert.equal(await stage.redis.xlen("out"), 500);
});

Deno.test("handOff() does not count a route as published if replicas can't confirm it", async () => {
  const { startRedis } = await import("../../scripts/servers/redis.ts");
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  const redis = await stage.connection();
  await handOff(redis, [delivery("before")], await options(redis));
  await stage.redis.call("ACL", "SETUSER", "default", "-pexpire");
  const { answers, outage } = await handOff(redis, [delivery("before")], await options(redis, { waitReplicas: 1 }));
  assert.deepEqual([answers[0]!.kind, outage?.code], ["unanswered", "NOPERM"]);
});

Deno.test("handOff() passes any text on unchanged", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const text = ' "\\/\u0000\u001f\u007f\u2028☃𝄞\ufffd{"n":12345678901234567890,"f":1.10} ';
  const { answers } = await handOff(redis, [delivery(text, [text, text, "empty", ""])], await options(redis));
  const [[entryId, fields]] = await stage.redis.xrange("out", "-", "+") as [[string, string[]]];
  assert.deepEqual(fields, [text, text, "empty", ""]);
  assert.deepEqual(answers, [published(entryId, await stage.redis.get(redisEpochKey()) ?? "")]);
  assert.equal(await stage.redis.get(routeLeaseKey(text, "push")), `published:${entryId}`);
});

Deno.test("handOff() sends the script again after SCRIPT FLUSH", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  await handOff(redis, [delivery("a")], await options(redis));
  await stage.redis.script("FLUSH");
  const { answers } = await handOff(redis, [delivery("b")], await options(redis));
  assert.equal(answers[0]!.kind, "published");
});
