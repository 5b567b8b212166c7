/**
 * How the process ends: signals, the order of the stops, the bound, and what is left behind (docs/contract.md, section
 * 10).
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const LOOPS = ["intent_consumer", "push_publisher", "email_publisher", "retention_cleaner"];

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends an idle service with exit code 0, the probe first`, async () => {
    // All waits of an idle service are too long to end by themselves.
    await using rig = await openRig({
      env: { NOTIFICATION_SHUTDOWN_TIMEOUT: "30s", NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "30s" },
    });
    const service = await rig.start();
    const loggers = (message: string) =>
      service.logs.filter((line) => line.message === message && line.level === "info").map((line) => line.logger);
    await service.waitForLog((line) => line.message === "consuming");
    assert.deepEqual(loggers("started").sort(), [...LOOPS, "internal_http"].sort());
    assert.deepEqual(loggers("stopped"), []);
    await rig.addIntent();
    await rig.settled();

    const begun = performance.now();
    service.signal(signal);
    assert.equal(await service.exit(), 0);
    assert.ok(performance.now() - begun < 10_000, `${performance.now() - begun} ms`);
    const stopped = loggers("stopped").filter((logger) => logger !== "service");
    assert.equal(stopped[0], "internal_http");
    assert.deepEqual(stopped.slice(1).sort(), [...LOOPS].sort());
    assert.equal(service.stderr, "");
    assert.equal(await rig.redis.exists(consumerLeaseKey(rig.intentsStream)), 0);
    await nobodyIsConnected(rig);
  });
}

Deno.test("a stop under load ends in time, and the next start finishes everything, once", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_SHUTDOWN_TIMEOUT: "5s" } });
  const ids: string[] = [];
  let producing = true;
  const producer = (async () => {
    while (producing) {
      const some = Array.from({ length: 50 }, (_, index) => `key ${ids.length + index}`);
      ids.push(...some);
      await Promise.all(some.map((idempotency_key) => rig.addIntent({ idempotency_key })));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  for (let round = 0; round < 3; round++) {
    const service = await rig.start();
    const [before] = await counts(rig);
    await eventually(async () => ((await counts(rig))[0] ?? 0) > (before ?? 0) + 200);
    // Past its bound it would end with another exit code.
    assert.equal((await service.terminate()).code, 0, service.output().slice(-2000));
  }
  producing = false;
  await producer;
  await rig.start();
  await rig.settled();
  assert.deepEqual(await counts(rig), [ids.length, ids.length, ids.length]);
  assert.deepEqual(new Set((await rig.clientEvents()).map(({ fields }) => fields["event_id"])).size, ids.length);
  assert.deepEqual(new Set((await rig.mailCommands()).map(({ fields }) => fields["delivery_id"])).size, ids.length);
});

Deno.test("a stop in the middle of a look-up that hangs abandons the batch", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_USER_SERVICE_TIMEOUT: "30s", NOTIFICATION_SHUTDOWN_TIMEOUT: "5s" },
  });
  const service = await rig.start();
  await rig.addHangingIntent();
  assert.equal((await service.terminate()).code, 0, service.output());
  rig.users.behaviour = undefined;
  await rig.start();
  await rig.settled();
  assert.equal((await rig.clientEvents()).length, 1);
});

Deno.test("a second signal ends the process at once", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_USER_SERVICE_TIMEOUT: "30s", NOTIFICATION_SHUTDOWN_TIMEOUT: "20s" },
  });
  const service = await rig.start();
  await rig.addHangingIntent();
  service.signal("SIGINT");
  await service.waitForLog((line) => /shutting down|stop/i.test(line.message));
  const { code, durationMs } = await service.terminate();
  assert.equal(code, 1, service.output());
  assert.ok(durationMs < 10_000, `${durationMs} ms`); // the look-up is given up after twelve seconds
});

Deno.test("a shutdown that runs past its bound says so in a last line, and ends with exit code 1", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_USER_SERVICE_TIMEOUT: "30s", NOTIFICATION_SHUTDOWN_TIMEOUT: "5s" },
  });
  const service = await rig.start();
  await rig.addHangingIntent();
  service.signal("SIGTERM");
  await service.waitForLog((line) => line.message === "shutting down");
  // Only a machine that pauses the process makes it this slow.
  service.signal("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 5500));
  service.signal("SIGCONT");
  assert.equal(await service.exit(), 1, service.output());
  const line = service.logs.find((line) => line.level === "error");
  assert.deepEqual([line?.logger, line?.message, line?.["bound_ms"]], [
    "service",
    "shutdown ran past its bound",
    5000,
  ]);
});

Deno.test("a defect ends the process in an orderly way, with exit code 70", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  const service = await rig.start();
  await rig.addIntent();
  await rig.settled();
  // A changed schema makes reading the offset throw a TypeError.
  await rig.query("ALTER TABLE notification.stream_offsets ALTER entry_id DROP NOT NULL");
  await rig.query("UPDATE notification.stream_offsets SET entry_id = NULL");
  await rig.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  assert.equal(await service.exit(), 70, service.output());
  const stopped = service.logs.filter((line) => line.message === "stopped").map((line) => line.logger);
  for (const logger of [...LOOPS, "internal_http"]) assert.ok(stopped.includes(logger), `${logger} in ${stopped}`);
  assert.match(
    service.logs.find((line) => line.level === "error")?.logger ?? "",
    /intent_consumer|publisher|cleaner|repair/,
  );
});

Deno.test("a signal during start-up ends it with exit code 0", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({
    superuser: true,
    redisServer: redis,
    env: { NOTIFICATION_STARTUP_TIMEOUT: "30s" },
  });
  const stop = async (service: ServiceProcess) => {
    await service.waitForLog((line) => line.logger === "service");
    const { code, durationMs } = await service.terminate();
    assert.equal(code, 0, service.output());
    assert.ok(durationMs < 5000, `${durationMs} ms`);
    assert.ok(!service.logs.some((line) => line.message === "started"));
  };
  await redis.kill("SIGSTOP");
  await stop(await rig.spawn());
  await redis.kill("SIGCONT");

  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dsn = Object.assign(new URL(rig.dsn), { host: `127.0.0.1:${silent.addr.port}` }).href;
  const waitsForPostgres = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
  using _connection = await silent.accept();
  await stop(waitsForPostgres);

  // Another session is migrating.
  const client = await rig.pool.connect();
  await client.query("BEGIN");
  await client.query("CREATE SCHEMA notification");
  const service = await rig.spawn();
  await eventually(async () => {
    const waiting = await rig.query(
      "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    return waiting.length > 0;
  });
  await stop(service);
  await client.query("ROLLBACK");
  client.release();
});

/** Records, published push routes and published mail routes. */
async function counts(rig: Rig): Promise<number[]> {
  const rows = await rig.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM notification.records
      UNION ALL SELECT count(*)::int FROM notification.routes WHERE channel = 'push' AND status = 'published'
      UNION ALL SELECT count(*)::int FROM notification.routes WHERE channel = 'email' AND status = 'published'`,
  );
  return rows.map((row) => row.count);
}

/** Nothing of the service is left on the servers. */
async function nobodyIsConnected(rig: Rig): Promise<void> {
  await eventually(async () => {
    const sessions = await rig.query(
      `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'notification-service%'`,
    );
    return sessions.length === 0;
  }, { message: "Sessions in PostgreSQL did not end" });
}
