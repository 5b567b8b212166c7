/** Notifications over a real datagram socket, path and abstract; the service runs even if it can't notify anything. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/clock.ts";
import type { Supervisor } from "../../src/config/supervisor.ts";
import { Heartbeats } from "../../src/lifecycle/heartbeats.ts";
import { OutageError } from "../../src/lifecycle/outage.ts";
import { runLoop } from "../../src/lifecycle/run_loop.ts";
import { Systemd } from "../../src/lifecycle/systemd.ts";
import { Outages } from "../../src/telemetry/outages.ts";
import { NotifySocket } from "../support/notify_socket.ts";
import { eventually } from "../support/wait.ts";

/** Deno 2.7 does not support abstract names, Deno 2.9 does (from 2.8.3 on). */
const KNOWS_ABSTRACT = !/^2\.(7\.|8\.[0-2]$)/.test(Deno.version.deno);

function open(changes: Partial<Supervisor>): { systemd: Systemd; problems: string[] } {
  const problems: string[] = [];
  const supervisor = { notifySocket: undefined, watchdogMs: undefined, runtimeDirectory: undefined, ...changes };
  return { systemd: new Systemd({ supervisor, onProblem: (reason) => problems.push(reason) }), problems };
}

Deno.test("notifications arrive in order at a path", async () => {
  const runtimeDirectory = await Deno.makeTempDir();
  {
    await using socket = await NotifySocket.open(`${runtimeDirectory}/notify`);
    const { systemd, problems } = open({ notifySocket: socket.address, runtimeDirectory });
    assert.ok(systemd.isListening);
    systemd.ready();
    systemd.status("Running:\nlag 1");
    systemd.stopping();
    await systemd.close();
    await eventually(() => socket.received.length === 3);
    assert.deepEqual(socket.received, ["READY=1", "STATUS=Running: lag 1", "STOPPING=1 STATUS=Stopping"]);
    assert.deepEqual(problems, []);
  }
  // Neither the supervisor's socket nor the service's own is left.
  assert.deepEqual([...Deno.readDirSync(runtimeDirectory)], []);
  await Deno.remove(runtimeDirectory);
});

Deno.test(`abstract socket, Deno ${Deno.version.deno}: ${KNOWS_ABSTRACT ? "reached" : "reported as unreachable"}`, async () => {
  const runtimeDirectory = await Deno.makeTempDir();
  {
    await using socket = await NotifySocket.open(`@notification-service-test-${crypto.randomUUID()}`);
    const { systemd, problems } = open({ notifySocket: socket.address, runtimeDirectory });
    for (const notify of [() => systemd.ready(), () => systemd.stopping()]) notify();
    await systemd.close();
    if (KNOWS_ABSTRACT) {
      await eventually(() => socket.received.length === 2);
      assert.deepEqual([socket.received, problems], [["READY=1", "STOPPING=1 STATUS=Stopping"], []]);
    } else {
      assert.deepEqual(socket.received, []);
      assert.equal(problems.length, 1);
      assert.match(
        problems[0]!,
        /^an abstract NOTIFY_SOCKET isn't supported by this build \(Deno 2\.\d+\.\d+\): .*2\.9/,
      );
    }
  }
  assert.deepEqual([...Deno.readDirSync(runtimeDirectory)], []);
  await Deno.remove(runtimeDirectory);
});

Deno.test("without a socket nothing is sent, and nothing fails", async () => {
  const { systemd, problems } = open({ watchdogMs: 1 });
  systemd.ready();
  systemd.feedWatchdog({ stuckLoop: () => undefined, onStuck: () => {} });
  assert.equal(await systemd.whileExtendingTimeout(() => Promise.resolve("done")), "done");
  await systemd.close();
  assert.equal(systemd.isListening, false);
  assert.deepEqual(problems, []);
});

Deno.test("a socket that can't be reached is reported once", async () => {
  const runtimeDirectory = await Deno.makeTempDir();
  const gone = open({ notifySocket: `${runtimeDirectory}/gone`, runtimeDirectory });
  for (let times = 0; times < 3; times++) gone.systemd.ready();
  await gone.systemd.close();
  assert.equal(gone.problems.length, 1);
  assert.match(gone.problems[0]!, /could not be sent/);
  await Deno.remove(runtimeDirectory);

  const odd = open({ notifySocket: "vsock:2:1234" });
  odd.systemd.ready();
  await odd.systemd.close();
  assert.deepEqual(odd.problems, ["NOTIFY_SOCKET is neither a path nor an abstract name"]);
});

Deno.test("during work that may take long, the supervisor's time-out is extended", async () => {
  await withSocket(async (socket, supervisor) => {
    const { systemd } = open(supervisor);
    const work = () => eventually(() => socket.count("EXTEND_TIMEOUT_USEC=30000000") >= 3);
    await systemd.whileExtendingTimeout(work, 5);
    await assert.rejects(systemd.whileExtendingTimeout(() => Promise.reject(new Error("refused"))), /refused/);
    await systemd.close();
  });
});

Deno.test("a stuck loop stops the watchdog's signs of life, a loop in an outage does not", async () => {
  await withSocket(async (socket, supervisor) => {
    const { systemd } = open({ ...supervisor, watchdogMs: 20 });
    const heartbeats = new Heartbeats({ stuckAfterMs: 60 });
    const stuck: string[] = [];
    systemd.feedWatchdog({ stuckLoop: () => heartbeats.stuckLoop(), onStuck: (loop) => stuck.push(loop) });
    const stop = new AbortController();
    const [abandon, outages] = [stop.signal, new Outages(systemClock)];
    const start = (name: string, pass: () => Promise<"again" | "idle">) =>
      runLoop({ name, pass, idle: (signal) => systemClock.sleep(5000, signal) }, {
        ...{ stop: stop.signal, abandon, clock: systemClock, outages, heartbeats, onDefect: () => {} },
      });

    const refused = () => Promise.reject(new OutageError("redis", "connect ECONNREFUSED"));
    const loops = [start("push_publisher", refused), start("retention_cleaner", idleAtOnce)];
    await eventually(() => socket.count("WATCHDOG=1") >= 20);
    assert.deepEqual(stuck, []);

    loops.push(start("email_publisher", () => new Promise(() => {})));
    await eventually(() => stuck.length > 0);
    // Earlier notifications may still arrive, but only before later ones.
    systemd.status("stuck");
    await eventually(() => socket.count("STATUS=stuck") === 1);
    const fed = socket.count("WATCHDOG=1");
    await systemClock.sleep(200);
    systemd.status("still stuck");
    await eventually(() => socket.count("STATUS=still stuck") === 1);
    assert.equal(socket.count("WATCHDOG=1"), fed);
    assert.deepEqual(stuck, ["email_publisher"]);

    stop.abort();
    await Promise.all(loops);
    await systemd.close();
  });
});

function idleAtOnce(): Promise<"idle"> {
  return Promise.resolve("idle");
}

async function withSocket(use: (socket: NotifySocket, supervisor: Partial<Supervisor>) => Promise<void>) {
  const runtimeDirectory = await Deno.makeTempDir();
  try {
    await using socket = await NotifySocket.open(`${runtimeDirectory}/notify`);
    await use(socket, { notifySocket: socket.address, runtimeDirectory });
  } finally {
    await Deno.remove(runtimeDirectory);
  }
}
