/**
 * PostgreSQL comes back with rows of an earlier epoch of Redis: they are compared with the entries that Redis kept of
 * that epoch (docs/contract.md, section 11).
 */
import assert from "node:assert/strict";
import { epochBeginningsKey, redisEpochKey } from "../../src/redis/keys.ts";
import { openStage, type Stage, STREAMS } from "../support/stage.ts";

const PUSH = STREAMS.push;

const append = (stage: Stage, entryId: string) => stage.redis.xadd(PUSH, entryId, "event_id", "other/route");

/** Checks Redis in an epoch with this name; the server itself has another one. */
async function checkAs(stage: Stage, epoch: string): Promise<void> {
  await stage.checkRedis();
  const real = await stage.redis.get(redisEpochKey());
  await stage.query("UPDATE notification.stream_offsets SET redis_epoch = $1 WHERE redis_epoch = $2", [epoch, real]);
  for (const [stream, text] of Object.entries(await stage.redis.hgetall(epochBeginningsKey()))) {
    await stage.redis.hset(epochBeginningsKey(), stream, text.replaceAll(real!, epoch));
  }
  await stage.redis.set(redisEpochKey(), epoch);
}

const forget = (stage: Stage, row: { entryId: string; epoch: string }) =>
  stage.query("UPDATE notification.stream_offsets SET entry_id = $2, redis_epoch = $3 WHERE stream = $1", [
    ...[PUSH, row.entryId, row.epoch],
  ]);

/** An epoch `one` that ends at 10-0, `two` that ends at 20-0, and the current one that ends at 30-0. */
async function threeEpochs(stage: Stage): Promise<void> {
  await checkAs(stage, "one");
  await append(stage, "10-0");
  await checkAs(stage, "two");
  await append(stage, "20-0");
  await stage.checkRedis();
  await append(stage, "30-0");
}

Deno.test("a row that is ahead of what Redis kept of its epoch shows a loss", async () => {
  for (const [epoch, end] of [["one", "10-0"], ["two", "20-0"]] as const) {
    await using stage = await openStage();
    await threeEpochs(stage);
    await forget(stage, { entryId: "25-0", epoch });
    const loss = { stream: PUSH, lostAfter: end, lostUpTo: "25-0" };
    assert.deepEqual(await stage.checkRedis(), [loss]);
    assert.deepEqual(await stage.checkRedis(), []);
    assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "1");
    assert.equal(await stage.value(`SELECT entry_id FROM notification.stream_offsets WHERE stream = '${PUSH}'`), end);
  }
});

Deno.test("a row that is not ahead of what Redis kept of its epoch shows no loss", async () => {
  for (const [epoch, entryId] of [["one", "10-0"], ["one", "5-0"], ["two", "20-0"], ["two", "15-0"]] as const) {
    await using stage = await openStage();
    await threeEpochs(stage);
    await forget(stage, { entryId, epoch });
    assert.deepEqual(await stage.checkRedis(), []);
  }
});

Deno.test("only the current epoch is known to be later than one that Redis no longer knows", async () => {
  await using stage = await openStage();
  await threeEpochs(stage);
  await forget(stage, { entryId: "25-0", epoch: "forgotten" });
  assert.deepEqual(await stage.checkRedis(), [{ stream: PUSH, lostAfter: "20-0", lostUpTo: "25-0" }]);
  // The current epoch is not checked yet, as after a start.
  await forget(stage, { entryId: "25-0", epoch: "forgotten" });
  await stage.redis.set(redisEpochKey(), "unknown");
  assert.deepEqual(await stage.checkRedis(), []);
});

Deno.test("Redis keeps the beginnings of the last hundred epochs", async () => {
  await using stage = await openStage();
  for (let epoch = 0; epoch < 103; epoch++) {
    await stage.redis.set(redisEpochKey(), `unchecked${epoch}`);
    await stage.checkRedis();
  }
  assert.equal((await stage.redis.hget(epochBeginningsKey(), PUSH))!.split(" ").length, 100);
});
