/**
 * The notifications of the process to its supervisor, with the permissions of production: ready after start-up, lag and
 * depth, signs of life during an outage, stopping.
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { hang } from "../../scripts/servers/user_service.ts";
import { NotifySocket } from "../support/notify_socket.ts";
import { runOn } from "../support/command.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

/**
 * The only folder, besides systemd's own socket, to which the service may write. A test that can't create it (not root)
 * uses an abstract socket, which needs no folder.
 */
const RUNTIME_DIRECTORY = "/run/notification-service";

Deno.test("the supervisor is notified of start, state, life and stop", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  await using socket = await NotifySocket.open(await socketAddress());
  const service = await rig.start({
    NOTIFY_SOCKET: socket.address,
    RUNTIME_DIRECTORY,
    WATCHDOG_USEC: "200000",
  });
  await eventually(() => socket.received.some((line) => line.startsWith("STATUS=Running")));
  const [patience, ready] = socket.received;
  assert.equal(patience, "EXTEND_TIMEOUT_USEC=30000000");
  assert.equal(ready, "READY=1");
  assert.ok(socket.received.includes("STATUS=Running: lag 0, depth push 0, email 0"));

  await redisServer.stop();
  await service.waitForLog(({ message }) => message === "dependency is unavailable");
  const fed = socket.count("WATCHDOG=1");
  await eventually(() => socket.count("WATCHDOG=1") >= fed + 10);
  await redisServer.start();
  await service.waitForLog(({ message }) => message === "dependency is available again");

  const { code } = await service.terminate();
  assert.equal(code, 0);
  await eventually(() => socket.received.includes("STOPPING=1 STATUS=Stopping"));
  assert.deepEqual(service.logs.filter(({ message }) => message === "the supervisor can't be notified"), []);
});

Deno.test("a start-up that fails never reports that it is ready", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_REDIS_MASTER_ADDR: "127.0.0.1:1" } });
  await using socket = await NotifySocket.open(await socketAddress());
  const service = await rig.spawn({ NOTIFY_SOCKET: socket.address, RUNTIME_DIRECTORY });
  assert.equal((await service.ended).code, 69);
  await eventually(() => socket.received.includes("STOPPING=1 STATUS=Stopping"));
  assert.ok(!socket.received.includes("READY=1"));
});

Deno.test("a socket to which the executable may not write is one warning with advice, and the service runs", async () => {
  await using rig = await openRig();
  // For example podman's /run/notify/notify.sock, or a user's own systemd.
  for (const address of ["/run/notify/notify.sock", "/run/user/1000/systemd/notify"]) {
    await using service = await rig.start({ NOTIFY_SOCKET: address });
    assert.equal((await service.terminate()).code, 0);
    const problems = service.logs.filter(({ message }) => message === "the supervisor can't be notified");
    assert.equal(problems.length, 1, service.output());
    assert.match(
      String(problems[0]!["reason"]),
      /^NOTIFY_SOCKET is out of reach: .*docs\/deployment\.md, Other supervisors$/,
    );
    assert.equal(service.stderr, "");
  }
});

Deno.test("an abstract socket is notified with Deno 2.9; with 2.7 the service warns that it can't, and runs", async () => {
  await using rig = await openRig();
  await using socket = await NotifySocket.open(`@test-${crypto.randomUUID()}`);
  const service = await rig.start({ NOTIFY_SOCKET: socket.address, RUNTIME_DIRECTORY });
  const { deno } = JSON.parse((await runOn(rig, ["version", "--json"])).stdout);
  const warnings = () => service.logs.filter(({ message }) => message === "the supervisor can't be notified");
  if (/^2\.(7\.|8\.[0-2]$)/.test(deno)) {
    const { level, reason } = await service.waitForLog(({ message }) => message === "the supervisor can't be notified");
    assert.equal(level, "warn");
    assert.ok(String(reason).startsWith(`an abstract NOTIFY_SOCKET isn't supported by this build (Deno ${deno}): `));
  } else {
    await eventually(() => socket.received.includes("READY=1"));
  }
  assert.equal((await service.terminate()).code, 0);
  if (socket.received.length > 0) await eventually(() => socket.received.includes("STOPPING=1 STATUS=Stopping"));
  assert.equal(warnings().length, socket.received.length > 0 ? 0 : 1);
});

Deno.test("a look-up that waits for more than a minute is no stuck loop", async () => {
  await using rig = await openRig();
  await using socket = await NotifySocket.open(await socketAddress());
  rig.users.behaviour = hang;
  const service = await rig.start({
    NOTIFY_SOCKET: socket.address,
    RUNTIME_DIRECTORY,
    WATCHDOG_USEC: "1000000",
    NOTIFICATION_USER_SERVICE_TIMEOUT: "75s",
    NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "1s",
  });
  const entryId = await rig.addIntent();
  await eventually(() => rig.users.inFlight.now > 0);
  await new Promise((resolve) => setTimeout(resolve, 65_000));
  assert.deepEqual(service.logs.filter(({ level }) => level === "error"), []);
  const fed = socket.count("WATCHDOG=1");
  await eventually(() => socket.count("WATCHDOG=1") > fed);

  rig.users.behaviour = undefined;
  await rig.settled({ timeoutMs: 30_000 });
  assert.deepEqual(await verdicts(rig, [entryId]), ["accepted"]);
});

async function socketAddress(): Promise<string> {
  const name = `test-${crypto.randomUUID()}`;
  try {
    await Deno.mkdir(RUNTIME_DIRECTORY, { recursive: true });
    return `${RUNTIME_DIRECTORY}/${name}`;
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    return `@${name}`;
  }
}
