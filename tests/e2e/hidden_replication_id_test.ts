/**
 * A Redis that hides its replication id, as some hosted ones do: one warning at the start and in check; losses of such
 * a server are found when the connections are made again (docs/contract.md, section 11).
 */
import assert from "node:assert/strict";
import { Transform } from "node:stream";
import { startRedis } from "../../scripts/servers/redis.ts";
import { runOn } from "../support/command.ts";
import { MovingAddress } from "../support/moving_address.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const SHOWN = "master_replid";
const HIDDEN = "master_hidden";

Deno.test("a Redis that hides its replication id is one warning, and its losses are found after a reconnection", async () => {
  await using redisServer = await startRedis();
  await using proxy = await MovingAddress.open(redisServer.port, { through: hiding });
  await using rig = await openRig({
    redisServer,
    env: { NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` },
  });
  const service = await rig.start();
  const warnings = service.logs.filter(({ warning }) => String(warning).startsWith("Redis hides its replication id"));
  assert.deepEqual(warnings.map(({ level }) => level), ["warn"], service.output());
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();

  const { code, stdout } = await runOn(rig, ["check"]);
  assert.equal(code, 0);
  assert.match(stdout, /✗ redis: Redis hides its replication id[^]*→ let INFO replication show master_replid/);
  assert.equal(stdout.match(/✗ redis: Redis persistence is off[^→]*→ turn on appendonly or snapshots/g)?.length, 1);

  // Without persistence it comes back empty.
  await redisServer.kill("SIGKILL");
  await redisServer.start();
  const repairs = () => rig.query("SELECT routes::int FROM notification.repairs WHERE finished_at IS NOT NULL");
  await eventually(async () => (await repairs()).length === 2, { message: () => service.output() });
  await rig.settled();
  assert.deepEqual(await repairs(), [{ routes: 3 }, { routes: 3 }]);
  assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [3, 3]);
  assert.equal((await service.terminate()).code, 0);
});

/**
 * Neither `INFO` nor a script finds the replication id under its name: another name of the same length replaces it,
 * also if it arrives in two pieces.
 */
function hiding(): Transform {
  let held = "";
  return new Transform({
    transform(bytes: Uint8Array, _encoding, done) {
      const text = (held + Buffer.from(bytes).toString("latin1")).replaceAll(SHOWN, HIDDEN);
      let tail = SHOWN.length - 1;
      while (tail > 0 && !text.endsWith(SHOWN.slice(0, tail))) tail--;
      held = text.slice(text.length - tail);
      done(null, Buffer.from(text.slice(0, text.length - tail), "latin1"));
    },
  });
}
