/**
 * Redis comes back with less than it acknowledged: lost publications are published again, intents that were read are
 * not accepted again, and nothing is lost (docs/contract.md, section 11).
 */
import assert from "node:assert/strict";
import type { Redis } from "ioredis";
import { TcpProxy } from "../../scripts/chaos/tcp_proxy.ts";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { validIntent } from "../support/intents.ts";
import { KeepingProxy } from "../support/keeping_proxy.ts";
import { refusedHandOffs } from "../support/losses.ts";
import { MovingAddress } from "../support/moving_address.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { startReplica } from "../support/redis_replica.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const STREAM = "notification:intents";

/** A master that the service uses, and a replica that will miss its last writes. */
interface Pair extends AsyncDisposable {
  readonly rig: Rig;
  readonly old: Redis;
  readonly replica: RedisServer;
  readonly address: MovingAddress;
  start(env?: Record<string, string>): Promise<ServiceProcess>;
  /** From now on the replica gets nothing. */
  holdReplication(): Promise<void>;
  /** The replica is the master, and the old master is stopped. */
  promote(): Promise<void>;
}

async function openPair(): Promise<Pair> {
  const servers = new AsyncDisposableStack();
  const master = servers.use(await startRedis({ appendOnly: true }));
  const replica = servers.use(await startReplica(master));
  const address = servers.use(await MovingAddress.open(master.port));
  const rig = servers.use(await openRig({ redisServer: replica }));
  const old = await openRedis(master);
  servers.defer(() => closeRedis(old));
  return {
    rig,
    old,
    replica,
    address,
    async start(env = {}) {
      const service = await rig.spawn({
        NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${address.port}`,
        NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "500ms",
        ...env,
      });
      await service.ready();
      return service;
    },
    async holdReplication() {
      await old.call("WAIT", 1, 5_000);
      await rig.redis.config("SET", "masterauth", "wrong");
      await old.call("CLIENT", "KILL", "TYPE", "replica");
    },
    async promote() {
      await rig.redis.call("REPLICAOF", "NO", "ONE");
      address.target = replica.port;
      await old.call("SHUTDOWN", "NOSAVE").catch(() => {});
    },
    [Symbol.asyncDispose]: () => servers.disposeAsync(),
  };
}

async function add(client: Redis, count: number, id = "*"): Promise<string[]> {
  const added: string[] = [];
  for (let intents = 0; intents < count; intents++) {
    added.push(await client.xadd(STREAM, id, ...Object.entries(validIntent()).flat() as string[]) as string);
  }
  return added;
}

const publishedRoutes = async (rig: Rig) =>
  (await rig.query<{ routes: number }>(
    "SELECT count(*)::int AS routes FROM notification.routes WHERE status = 'published'",
  ))[0]!.routes;

const untilPublished = (rig: Rig, routes: number) =>
  eventually(async () => await publishedRoutes(rig) === routes, { message: `${routes} routes were not published` });

/** How often each route is in the outbound streams. */
async function repetitions(rig: Rig): Promise<Map<string, number>> {
  const ids = [
    ...(await rig.clientEvents()).map(({ fields }) => fields["event_id"]!),
    ...(await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]!),
  ];
  return new Map(ids.map((id) => [id, ids.filter((other) => other === id).length]));
}

async function eachOnce(rig: Rig, routes: number): Promise<void> {
  const counts = await repetitions(rig);
  assert.equal(counts.size, routes);
  assert.deepEqual(new Set(counts.values()), new Set([1]));
}

const repairs = (rig: Rig) =>
  rig.query<{ stream: string; routes: string; finished: boolean }>(
    "SELECT stream, routes::text, finished_at IS NOT NULL AS finished FROM notification.repairs ORDER BY stream",
  );

const errorsOf = (service: ServiceProcess) =>
  service.logs.filter(({ level }) => level === "error").map(({ message }) => message);

const LOST_OUTBOUND = "Redis lost the last entries of an outbound stream: their routes are published again";
const LOST_INTENTS = "Redis lost the last entries of the intent stream: intents that producers sent may be missing";

Deno.test("a replica promoted without the last writes: they are published again, and nothing else is", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const service = await pair.start();
  await add(pair.old, 3);
  await untilPublished(rig, 6);
  // Entries whose records retention has deleted can't be recognised.
  await rig.query("DELETE FROM notification.routes");
  await rig.query("DELETE FROM notification.records");
  await pair.holdReplication();
  await add(pair.old, 4);
  await untilPublished(rig, 8);
  const asked = rig.users.requestedIds.length;
  await pair.promote();
  await eventually(async () => (await repairs(rig)).filter(({ finished }) => finished).length === 2, {
    message: () => service.output(),
  });
  await rig.settled();
  await eachOnce(rig, 14);
  assert.deepEqual(await repairs(rig), [
    { stream: "gateway:client-events", routes: "4", finished: true },
    { stream: "mail:delivery_commands", routes: "4", finished: true },
  ]);
  await eventually(() => errorsOf(service).length === 3, { message: () => service.output() });
  assert.deepEqual(errorsOf(service).sort(), [LOST_OUTBOUND, LOST_OUTBOUND, LOST_INTENTS]);
  // Entries that are read again are recognised.
  assert.equal(rig.users.requestedIds.length, asked);
  await add(rig.redis, 2);
  await rig.settled();
  await eachOnce(rig, 18);
  assert.deepEqual(await rig.query("SELECT 1 FROM notification.routes WHERE attempt_count <> 1"), []);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("with REDIS_WAIT_REPLICAS nothing that counts as published is lost, and what retention has deleted is not read again", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const service = await pair.start({ NOTIFICATION_REDIS_WAIT_REPLICAS: "1" });
  await add(pair.old, 3);
  await untilPublished(rig, 6);
  await rig.query("DELETE FROM notification.routes");
  await rig.query("DELETE FROM notification.records");
  await pair.holdReplication();
  await add(pair.old, 4);
  await eventually(() => service.output().includes("0 of 1 replicas acknowledged"), { timeoutMs: 20_000 });
  assert.equal(await publishedRoutes(rig), 0);
  await pair.promote();
  await using second = await startReplica(pair.replica);
  assert.ok(second.port > 0);
  await rig.settled();
  await eachOnce(rig, 14);
  assert.deepEqual(await repairs(rig), []);
  assert.deepEqual(errorsOf(service).filter((message) => message === LOST_OUTBOUND), []);
  await add(rig.redis, 2);
  await rig.settled();
  await eachOnce(rig, 18);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("with LOST_PUBLICATIONS=report Redis's losses are counted and not published again", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const service = await pair.start({ NOTIFICATION_LOST_PUBLICATIONS: "report" });
  await add(pair.old, 2);
  await untilPublished(rig, 4);
  await pair.holdReplication();
  await add(pair.old, 3);
  await untilPublished(rig, 10);
  await pair.promote();
  await eventually(async () => (await repairs(rig)).filter(({ finished }) => finished).length === 2);
  assert.deepEqual((await repairs(rig)).map(({ routes }) => routes), ["3", "3"]);
  await add(rig.redis, 1);
  await untilPublished(rig, 12);
  await eachOnce(rig, 6);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("entries that the promoted server numbers before the old offset while the service is stopped are read", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const service = await pair.start();
  const [kept] = await add(pair.old, 1);
  await untilPublished(rig, 2);
  await eventually(async () => await pair.old.hget(`notification:stream_offset:${STREAM}`, "entry_id") === kept);
  await pair.holdReplication();
  await add(pair.old, 3);
  await untilPublished(rig, 8);
  assert.equal((await service.terminate()).code, 0);
  await pair.promote();
  const [time, sequence] = kept!.split("-");
  for (let at = 1; at <= 3; at++) await add(rig.redis, 1, `${time}-${Number(sequence) + at}`);
  await using again = await pair.start();
  await untilPublished(rig, 14);
  await eventually(async () => (await repairs(rig)).every(({ finished }) => finished));
  await rig.settled();
  await eachOnce(rig, 14);
  assert.equal((await again.terminate()).code, 0);
});

Deno.test("a Redis that was only restarted has lost nothing, and nothing is logged", async () => {
  await using redisServer = await startRedis({ appendOnly: true, args: ["--appendfsync", "always"] });
  await using rig = await openRig({ redisServer });
  const service = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();
  await redisServer.kill("SIGKILL");
  await redisServer.start();
  await eventually(() => rig.redis.ping());
  await rig.addIntent();
  await rig.settled();
  await eachOnce(rig, 8);
  assert.deepEqual(await repairs(rig), []);
  assert.deepEqual(errorsOf(service), []);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a Redis that comes back empty: lost publications are published again, and later ones too", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  const service = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();
  await redisServer.kill("SIGKILL");
  await redisServer.start();
  await eventually(() => rig.redis.ping());
  await eventually(async () => (await repairs(rig)).filter(({ finished }) => finished).length === 2, {
    message: () => service.output(),
  });
  await rig.addIntent();
  await rig.settled();
  await eachOnce(rig, 8);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("behind a proxy that keeps connections open across the failover nothing is lost and nothing repeated", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const login = { password: rig.keySpace.password, db: rig.keySpace.db ?? 0 };
  await using proxy = await KeepingProxy.open({ ...login, port: pair.address.target });
  const service = await pair.start({ NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` });
  await add(pair.old, 3);
  await untilPublished(rig, 6);
  await pair.holdReplication();
  await add(pair.old, 4);
  await untilPublished(rig, 14);
  await rig.redis.call("REPLICAOF", "NO", "ONE");
  await proxy.changeTo({ ...login, port: rig.keySpace.port });
  await pair.promote();
  await add(rig.redis, 2);
  await untilPublished(rig, 18);
  await eventually(async () => (await repairs(rig)).filter(({ finished }) => finished).length === 2, {
    message: () => service.output(),
  });
  await rig.settled();
  await eachOnce(rig, 18);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a hand-off that is under way while the server changes appends nothing before the new server is checked", async () => {
  await using pair = await openPair();
  const { rig } = pair;
  const login = { password: rig.keySpace.password, db: rig.keySpace.db ?? 0 };
  await using keeping = await KeepingProxy.open({ ...login, port: pair.address.target });
  using proxy = new TcpProxy(keeping.port);
  const service = await pair.start({ NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` });
  await add(pair.old, 3);
  await untilPublished(rig, 6);
  const held = proxy.freezeAt((text) => text.includes("payload_"), 30);
  await add(pair.old, 4);
  assert.ok(await held !== undefined, service.output());
  assert.equal(await pair.old.call("WAIT", 1, 5_000), 1);
  await rig.redis.call("REPLICAOF", "NO", "ONE");
  await keeping.changeTo({ ...login, port: rig.keySpace.port });
  await pair.promote();
  const before = await repetitions(rig);
  // The check of the new server has to wait for these rows.
  const locked = await rig.pool.connect();
  try {
    await locked.query("BEGIN");
    await locked.query("SELECT FROM notification.stream_offsets WHERE stream <> $1 FOR UPDATE", [STREAM]);
    proxy.thaw({ lose: false });
    await eventually(async () => await refusedHandOffs(rig) >= 2 || (await repetitions(rig)).size > before.size, {
      message: () => service.output(),
    });
    assert.deepEqual(await repetitions(rig), before);
  } finally {
    // The end of the session ends the transaction.
    locked.release(true);
  }
  assert.equal(before.size, 6);
  await untilPublished(rig, 14);
  await rig.settled();
  await eachOnce(rig, 14);
  assert.deepEqual(await repairs(rig), []);
  assert.equal((await service.terminate()).code, 0);
});
