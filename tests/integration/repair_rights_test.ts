/** A Redis that refuses to show a stream has not lost it (docs/contract.md, section 11). */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";
import { checkRedis } from "../../src/redis/check_server.ts";
import { redisEpochKey } from "../../src/redis/keys.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { openStage, STREAMS } from "../support/stage.ts";

const PASSWORD = "with-an-observer";
const ADMINISTRATOR = ["--user", OBSERVER, "on", `>${PASSWORD}`, "~*", "&*", "+@all"];

Deno.test("a stream that this user may not read is no loss: the check fails until the user may", async () => {
  await using server = await startRedis({ password: PASSWORD, args: isRestricted() ? [] : ADMINISTRATOR });
  await using stage = await openStage({ redisServer: server });
  const observer = await openRedis(server, { username: OBSERVER });
  const refuse = (rule: string) => observer.call("ACL", "SETUSER", "default", rule);
  try {
    const end = await observer.xadd(STREAMS.push, "*", "event_id", "n/r");
    await stage.query("UPDATE notification.stream_offsets SET entry_id = $1 WHERE stream = $2", [end, STREAMS.push]);
    // As after a restart of the server.
    await stage.query("UPDATE notification.stream_offsets SET redis_epoch = 'before' WHERE redis_epoch IS NOT NULL");
    await observer.set(redisEpochKey(), "before");
    for (const command of ["xinfo", "get", "set"]) {
      await refuse(`-${command}`);
      await assert.rejects(stage.checkRedis(), /no permissions|can't run/, command);
      await refuse(`+${command}`);
    }
    assert.equal(await observer.get(redisEpochKey()), "before");
    assert.deepEqual(await stage.checkRedis(), []);
    assert.equal(await stage.value("SELECT count(*) FROM notification.repairs"), "0");
  } finally {
    await closeRedis(observer);
  }
});

Deno.test("the start and check try the commands of the repair loop", async () => {
  await using server = await startRedis({ password: PASSWORD, args: isRestricted() ? [] : ADMINISTRATOR });
  await using stage = await openStage({ redisServer: server });
  const observer = await openRedis(server, { username: OBSERVER });
  const redis = await stage.connection();
  try {
    await checkRedis(redis);
    for (const command of ["xinfo", "xrange", "hmget", "hget"]) {
      await observer.call("ACL", "SETUSER", "default", `-${command}`);
      await assert.rejects(checkRedis(redis), /no permissions|can't run/, command);
      await observer.call("ACL", "SETUSER", "default", `+${command}`);
    }
  } finally {
    await closeRedis(observer);
  }
});
