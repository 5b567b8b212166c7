/**
 * What operators see of a loss: `inspect repairs` has every repair, `status` those that are open or were finished
 * within a day.
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { assertReadable, jsonOf, runOn } from "../support/command.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const PUSH = "gateway:client-events";
const MAIL = "mail:delivery_commands";

Deno.test("inspect repairs and status show what Redis lost, while it is repaired and afterwards", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  const service = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();
  assert.deepEqual(await jsonOf(rig, ["inspect", "repairs"]), { repairs: [] });
  assert.equal((await runOn(rig, ["inspect", "repairs"])).stdout, "  none");
  const { channels } = await jsonOf(rig, ["status"]);
  // Without persistence it comes back empty.
  await redisServer.kill("SIGKILL");
  await redisServer.start();
  await eventually(() => rig.redis.ping());
  await eventually(async () => (await finished()).length === 2, { message: () => service.output() });
  await rig.settled();

  const { repairs } = await jsonOf(rig, ["inspect", "repairs"]);
  assert.deepEqual(
    repairs.map(({ detected_at: _, finished_at: __, ...rest }: Record<string, unknown>) => rest)
      .toSorted((a: { stream: string }, b: { stream: string }) => a.stream.localeCompare(b.stream)),
    [
      { stream: PUSH, lost_after: "0-0", lost_up_to: channels.push.published_up_to, routes: 3 },
      { stream: MAIL, lost_after: "0-0", lost_up_to: channels.email.published_up_to, routes: 3 },
    ],
  );
  for (const { detected_at, finished_at } of repairs) assert.ok(Date.parse(detected_at) < Date.parse(finished_at));
  const { stdout } = await runOn(rig, ["inspect", "repairs"]);
  assertReadable(stdout);
  assert.match(stdout, /^ {2}DETECTED +ROUTES +STATE +STREAM\n/);
  assert.match(
    stdout,
    / 3 +finished in \d+ m?s +gateway:client-events\n {6}lost: the entries after 0-0, up to \d+-\d+/,
  );
  const status = await jsonOf(rig, ["status"]);
  assert.deepEqual(
    status.repairs.map(({ stream, routes }: { stream: string; routes: number }) => [stream, routes]).sort(),
    [[PUSH, 3], [MAIL, 3]],
  );
  assert.deepEqual(Object.keys(status.repairs[0]).sort(), ["detected_at", "finished_at", "routes", "stream"]);

  // One of a day ago, and one that stays open because no instance runs.
  assert.equal((await service.terminate()).code, 0);
  await rig.query(
    `UPDATE notification.repairs SET detected_at = now() - interval '26 h', finished_at = now() - interval '25 h'
     WHERE stream = $1`,
    [MAIL],
  );
  await rig.query("UPDATE notification.repairs SET finished_at = NULL WHERE stream = $1", [PUSH]);
  const later = await jsonOf(rig, ["status"]);
  assert.deepEqual(
    later.repairs.map(({ stream, finished_at }: Record<string, unknown>) => [stream, finished_at]),
    [[PUSH, null]],
  );
  const page = (await runOn(rig, ["status"])).stdout;
  assertReadable(page);
  assert.match(
    page,
    /Repairs\n {2}DETECTED +ROUTES +STATE +REDIS LOST ENTRIES OF\n.* 3 +open +gateway:client-events\n/,
  );
  assert.doesNotMatch(page, /finished in/);

  const streams = async (...args: string[]) =>
    (await jsonOf(rig, ["inspect", "repairs", ...args])).repairs.map(({ stream }: { stream: string }) => stream);
  assert.deepEqual(await streams(), [PUSH, MAIL]);
  assert.deepEqual(await streams("--since", "24h"), [PUSH]);
  assert.deepEqual(await streams("--limit", "1"), [PUSH]);
  for (const filter of [["--type", "t"], ["--producer", "p"], ["--classification", "c"], ["--near", "1-1"]]) {
    const { code, stderr } = await runOn(rig, ["inspect", "repairs", ...filter]);
    assert.equal(code, 64);
    assert.match(stderr, new RegExp(`${filter[0]} is (not for inspect repairs|for inspect malformed)`));
  }

  function finished(): Promise<unknown[]> {
    return rig.query("SELECT FROM notification.repairs WHERE finished_at IS NOT NULL");
  }
});
