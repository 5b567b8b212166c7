/**
 * The only instance is killed between its claim on routes and their hand-off: how soon the next one publishes them
 * (docs/contract.md, section 6: a claim at birth lives 2 s, a later one 10 s).
 */
import assert from "node:assert/strict";
import { TcpProxy } from "../../scripts/chaos/tcp_proxy.ts";
import { openRig, type Rig } from "../support/rig.ts";

const INTENTS = 20;
/** A part of every hand-off, of both channels. */
const HAND_OFF = "payload_";

Deno.test("routes that a killed instance has just accepted are published within 3 s of the next start", async () => {
  await using rig = await openRig();
  for (let intent = 0; intent < INTENTS; intent++) await rig.addIntent();
  await killAtHandOff(rig);
  await allPublishedWithin(rig, 3);
});

Deno.test("due routes that a killed instance has claimed are published within 11 s of the next start", async () => {
  await using rig = await openRig();
  for (let intent = 0; intent < INTENTS; intent++) await rig.addIntent();
  await killAtHandOff(rig);
  // The claims at birth end: this instance claims the routes.
  const claimedAtMs = await killAtHandOff(rig);
  const [row] = await rig.query<{ until: Date }>("SELECT max(next_attempt_at) AS until FROM notification.routes");
  assert.ok(row!.until.getTime() - claimedAtMs > 5_000, "a claim of 10 s");
  await allPublishedWithin(rig, 11);
});

/**
 * Starts an instance and kills it during its first hand-off, which Redis never receives. Returns the time of the kill.
 */
async function killAtHandOff(rig: Rig): Promise<number> {
  using proxy = new TcpProxy(rig.keySpace.port);
  const instance = await rig.spawn({ NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` });
  const held = await proxy.freezeAt((text) => text.includes(HAND_OFF), 30);
  const heldAtMs = Date.now();
  await instance.kill();
  assert.ok(held !== undefined, instance.output());
  const [row] = await rig.query<{ live: number }>(
    "SELECT count(*)::int AS live FROM notification.routes WHERE status = 'pending' AND next_attempt_at > now()",
  );
  assert.ok(row!.live > 0, "the routes are claimed");
  assert.equal((await rig.clientEvents()).length + (await rig.mailCommands()).length, 0, "none is published");
  return heldAtMs;
}

/** Starts an instance; all routes have to be published once, within this many seconds after it was ready. */
async function allPublishedWithin(rig: Rig, seconds: number): Promise<void> {
  const instance = await rig.start();
  const readyAtMs = Date.now();
  await rig.settled();
  const entries = [...await rig.clientEvents(), ...await rig.mailCommands()];
  assert.equal(entries.length, 2 * INTENTS);
  // By Redis's clock, which is this machine's.
  const tookMs = Math.max(...entries.map(({ entryId }) => Number(entryId.split("-")[0]) - readyAtMs));
  assert.ok(tookMs <= seconds * 1000, `${tookMs} ms after it was ready:\n${instance.output()}`);
  const rows = await rig.query(
    "SELECT status, attempt_count AS attempts, count(*)::int AS routes FROM notification.routes GROUP BY 1, 2",
  );
  assert.deepEqual(rows, [{ status: "published", attempts: 1, routes: 2 * INTENTS }]);
}
