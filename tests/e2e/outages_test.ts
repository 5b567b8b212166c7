/**
 * Outages of dependencies: they use no attempts, lose and repeat nothing, are logged once, and end by themselves
 * (docs/contract.md, sections 5 and 6).
 */
import assert from "node:assert/strict";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";
import { refuse } from "../../scripts/servers/user_service.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { LogLine, ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const QUICK = { NOTIFICATION_ROUTE_BACKOFF_MIN: "50ms", NOTIFICATION_ROUTE_BACKOFF_MAX: "100ms" };

/** The expected lines of an outage, however long it lasts and however often a loop meets it. */
const A_HANDFUL = 5;

/** Longer than a claim at birth, and than any pause between two looks for due routes. */
const LONG_OUTAGE_MS = 6_000;

const UNAVAILABLE = "dependency is unavailable";
const AVAILABLE = "dependency is available again";

/** A Redis that refuses every write: how this begins, how it ends, and whether entries are read meanwhile. */
const REFUSING = [
  {
    name: "is full",
    out: ["CONFIG", "SET", "maxmemory", "1"],
    back: ["CONFIG", "SET", "maxmemory", "0"],
    isRead: true,
  },
  {
    name: "has become a replica",
    out: ["REPLICAOF", "127.0.0.1", "1"],
    back: ["REPLICAOF", "NO", "ONE"],
    isRead: false,
  },
  {
    name: "misses its replicas",
    out: ["CONFIG", "SET", "min-replicas-to-write", "1"],
    back: ["CONFIG", "SET", "min-replicas-to-write", "0"],
    isRead: true,
  },
] as const;

for (const { name, out, back, isRead } of REFUSING) {
  Deno.test(`the service waits for a Redis that ${name}, without using an attempt`, async () => {
    await using redis = await startRedis({ appendOnly: true });
    await using rig = await openRig({
      redisServer: redis,
      env: { ...QUICK, NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1" },
    });
    const service = await rig.start();
    rig.users.behaviour = () => refuse(503, "later");
    const entryIds = [await rig.addIntent(), await rig.addIntent()];
    await eventually(() => rig.users.requestedIds.length > 0);
    await rig.redis.call(out[0], ...out.slice(1));
    rig.users.behaviour = undefined;
    // Under OOM reading continues, and PostgreSQL accepts the entries. A replica's entries may differ from the
    // master's.
    if (isRead) {
      await eventually(async () => (await verdicts(rig, entryIds)).every((verdict) => verdict === "accepted"));
    }
    const reported = await service.waitForLog((line) => line.level === "warn" && /redis/.test(JSON.stringify(line)));
    for (const { routes } of await Promise.all(entryIds.map((entryId) => outcomeOf(rig, entryId)))) {
      if (!isRead && routes.length === 0) continue;
      assert.deepEqual(routes.map((route) => [route.status, route.attempt_count]), [["pending", 0], ["pending", 0]]);
    }
    await rig.redis.call(back[0], ...back.slice(1));
    await rig.settled();
    await published(rig, entryIds);
    await recovered(service, reported);
  });
}

Deno.test("a full Redis is reported once, also by passes that find nothing due in between, and so is its end", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({ redisServer: redis });
  const service = await rig.start();
  rig.users.behaviour = () => refuse(503, "later");
  const entryId = await rig.addIntent();
  await eventually(() => rig.users.requestedIds.length > 0);
  await rig.redis.config("SET", "maxmemory", "1");
  rig.users.behaviour = undefined;
  const reported = await service.waitForLog((line) => line.message === UNAVAILABLE && line["dependency"] === "redis");
  // Accepted routes are claimed for 2 s and then for 10 s: meanwhile the channels find nothing due.
  await new Promise((resolve) => setTimeout(resolve, LONG_OUTAGE_MS));
  const linesOf = (message: string) =>
    service.logs.filter((line) => line.message === message && line["dependency"] === "redis");
  assert.deepEqual([linesOf(UNAVAILABLE).length, linesOf(AVAILABLE).length], [1, 0], service.output());
  await rig.redis.config("SET", "maxmemory", "0");
  const over = await service.waitForLog((line) => line.message === AVAILABLE && line["dependency"] === "redis");
  assert.ok(Number(over["outage_ms"]) >= LONG_OUTAGE_MS, JSON.stringify(over));
  await rig.settled();
  await published(rig, [entryId]);
  await recovered(service, reported);
});

Deno.test("a Redis that is killed and restarted under load loses and repeats nothing", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({
    redisServer: redis,
    env: { NOTIFICATION_INTENTS_BATCH_SIZE: "30", NOTIFICATION_PUBLISH_BATCH_SIZE: "30" },
  });
  const entryIds = await Promise.all(Array.from({ length: 1000 }, () => rig.addIntent()));
  const service = await rig.start();
  for (const records of [100, 500]) {
    await eventually(async () => (await rig.query("SELECT 1 FROM notification.records")).length > records);
    await redis.kill("SIGKILL");
    await redis.start();
  }
  await eventually(async () => await rig.redis.ping() === "PONG");
  await rig.settled();
  await published(rig, entryIds);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a PostgreSQL that is restarted under load loses and repeats nothing", async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({
    postgresServer: postgres,
    env: { NOTIFICATION_INTENTS_BATCH_SIZE: "30", NOTIFICATION_PUBLISH_BATCH_SIZE: "30" },
  });
  const entryIds = await Promise.all(Array.from({ length: 1000 }, () => rig.addIntent()));
  const service = await rig.start();
  await eventually(async () => (await rig.query("SELECT 1 FROM notification.records")).length > 100);
  await postgres.stop("immediate");
  const reported = await service.waitForLog((line) => line.level === "warn" && /postgres/.test(JSON.stringify(line)));
  await postgres.start();
  await rig.settled();
  await published(rig, entryIds);
  await recovered(service, reported);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a route counts as published when the configured number of replicas has it, and is not appended again until then", async () => {
  await using redis = await startRedis({ appendOnly: true, args: ["--repl-diskless-sync-delay", "0"] });
  await using rig = await openRig({
    redisServer: redis,
    env: { NOTIFICATION_REDIS_WAIT_REPLICAS: "1", NOTIFICATION_REDIS_OPERATION_TIMEOUT: "500ms" },
  });
  const service = await rig.start();
  const entryId = await rig.addIntent();
  await service.waitForLog((line) => line.level === "warn" && /replica/.test(JSON.stringify(line)));
  const { routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
  assert.deepEqual(routes.map((route) => [route.status, route.attempt_count]), [["pending", 0], ["pending", 0]]);
  assert.ok(clientEvents.length + mailCommands.length > 0);

  await using replica = await startRedis({
    args: [
      ...["--replicaof", redis.host, String(redis.port), "--masterauth", redis.password],
      // The service needs no rights on replicas.
      ...(isRestricted() ? ["--masteruser", OBSERVER] : []),
    ],
  });
  assert.notEqual(replica.port, redis.port);
  await rig.settled();
  await published(rig, [entryId]);

  const before = service.logs.length;
  await replica.kill("SIGKILL");
  const later = await rig.addIntent();
  await eventually(() =>
    service.logs.slice(before).some((line) => line.level === "warn" && /replica/.test(JSON.stringify(line)))
  );
  const { routes: waiting } = await outcomeOf(rig, later);
  assert.deepEqual(waiting.map((route) => [route.status, route.attempt_count]), [["pending", 0], ["pending", 0]]);
  await replica.start();
  await rig.settled();
  await published(rig, [entryId, later]);
});

Deno.test("an intent stream that can't be read pauses intake, not the publishers", async () => {
  await using rig = await openRig({
    env: { ...QUICK, NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1000", NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "200ms" },
  });
  await rig.redis.set("gateway:client-events", "in the way");
  const service = await rig.start();
  const before = await rig.addIntent();
  await eventually(async () => (await outcomeOf(rig, before)).routes.some((route) => route.status === "failed"));

  await rig.redis.rename("notification:intents", "kept");
  await rig.redis.set("notification:intents", "in the way");
  const reported = await service.waitForLog((line) => line.level === "error");
  assert.match(JSON.stringify(reported), /WRONGTYPE/);
  await rig.redis.del("gateway:client-events");
  await eventually(async () => (await outcomeOf(rig, before)).clientEvents.length === 1);

  await rig.redis.rename("kept", "notification:intents");
  const after = await rig.addIntent();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [before, after]), ["accepted", "accepted"]);
  assert.equal(service.logs.filter((line) => line.level === "error").length, 1);
});

/** Every intent's two routes, once and at the first attempt. */
async function published(rig: Rig, entryIds: readonly string[]): Promise<void> {
  assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
  const rows = await rig.query<{ status: string; attempt_count: number; count: number }>(
    "SELECT status, attempt_count, count(*)::int AS count FROM notification.routes GROUP BY 1, 2",
  );
  assert.deepEqual(rows, [{ status: "published", attempt_count: 1, count: 2 * entryIds.length }]);
  const events = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
  const commands = (await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]);
  assert.deepEqual([events.length, new Set(events).size], [entryIds.length, entryIds.length]);
  assert.deepEqual([commands.length, new Set(commands).size], [entryIds.length, entryIds.length]);
}

/** The outage was logged once, and its end with its duration, with few other lines meanwhile. */
async function recovered(service: ServiceProcess, reported: LogLine): Promise<void> {
  const about = (line: LogLine) => line["dependency"] === reported["dependency"];
  const over = await service.waitForLog((line) => about(line) && line.level === "info");
  assert.deepEqual(service.logs.filter(about).map((line) => line.level), ["warn", "info"]);
  assert.ok(Number(over["outage_ms"]) > 0, JSON.stringify(over));
  const meanwhile = service.logs.slice(service.logs.indexOf(reported), service.logs.indexOf(over))
    .filter((line) => line.level === "warn" || line.level === "error");
  assert.ok(meanwhile.length <= A_HANDFUL, JSON.stringify(meanwhile));
}
