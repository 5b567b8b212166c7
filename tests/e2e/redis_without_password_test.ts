/** A Redis that asks for no password although one is configured: the service works, and logs one warning. */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { runOn } from "../support/command.ts";
import { openRig } from "../support/rig.ts";

Deno.test("a Redis that asks for no password is one warning in the log, and one of check", async () => {
  await using redis = await startRedis();
  await using rig = await openRig({ redisServer: redis });
  await rig.redis.config("SET", "requirepass", "");
  const service = await rig.start();
  await rig.addIntent();
  await rig.settled();
  assert.equal((await service.terminate()).code, 0);
  assert.equal(service.stderr, "");
  const warnings = service.logs.filter(({ warning }) => /NOTIFICATION_REDIS_PASSWORD/.test(String(warning)));
  assert.deepEqual(warnings.map(({ level }) => level), ["warn"], service.output());

  const check = await runOn(rig, ["check"]);
  assert.deepEqual([check.code, check.stderr], [0, ""]);
  assert.match(check.stdout, /✗ redis password: NOTIFICATION_REDIS_PASSWORD is set[^]*→ set requirepass/);
});
