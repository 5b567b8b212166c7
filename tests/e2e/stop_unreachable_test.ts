/**
 * The shutdown keeps within its bound, whatever can't be reached: Redis, PostgreSQL, the User Service, one at a time
 * and all at once, stopped or silent. The probe answers 200 until then, and nothing is lost or repeated
 * (docs/contract.md, sections 8 and 10).
 */
import assert from "node:assert/strict";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { hang } from "../../scripts/servers/user_service.ts";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const TARGETS = [["redis"], ["postgres"], ["users"], ["redis", "postgres", "users"]] as const;
/** Waits are cut after 60 % of it, while the longer waits for an answer still last. */
const BOUND_MS = 4000;
const INTENTS = 300;

interface Servers {
  readonly redis: RedisServer;
  readonly postgres: Postgres;
}

/** Makes a dependency unreachable, and reachable again. */
interface Breakage {
  readonly out: (target: string, rig: Rig, servers: Servers) => Promise<void>;
  readonly back: (target: string, rig: Rig, servers: Servers) => Promise<void>;
  /** The condition before the signal. */
  readonly until: (service: ServiceProcess, targets: readonly string[]) => Promise<unknown>;
}

const GONE: Breakage = {
  async out(target, rig, { redis, postgres }) {
    if (target === "redis") await redis.kill("SIGKILL");
    if (target === "postgres") await postgres.stop("immediate");
    if (target === "users") await rig.users.stop();
  },
  async back(target, rig, { redis, postgres }) {
    if (target === "redis") await redis.start();
    if (target === "postgres") await postgres.start();
    if (target === "users") rig.users.start();
  },
  // The service has noticed the outage and waits.
  until: (service, [target]) =>
    service.waitForLog((line) =>
      line.level !== "info" && new RegExp(target === "users" ? "user_service" : `${target}`).test(JSON.stringify(line))
    ),
};

const SILENT: Breakage = {
  async out(target, rig, { redis, postgres }) {
    if (target === "redis") await redis.kill("SIGSTOP");
    if (target === "postgres") await postgres.kill("SIGSTOP");
    if (target === "users") rig.users.behaviour = () => hang();
  },
  async back(target, rig, { redis, postgres }) {
    if (target === "redis") await redis.kill("SIGCONT");
    if (target === "postgres") await postgres.kill("SIGCONT");
    if (target === "users") rig.users.behaviour = undefined;
  },
  // At once, with open calls.
  until: () => Promise.resolve(),
};

Deno.test("a shutdown keeps within its bound with dependencies that are stopped or silent", async () => {
  await Promise.all([stopsInTime(GONE), stopsInTime(SILENT)]);
});

async function stopsInTime(breakage: Breakage): Promise<void> {
  const [redis, postgres] = await Promise.all([startRedis({ appendOnly: true }), startPostgres()]);
  await using _redis = redis;
  await using _postgres = postgres;
  const servers = { redis, postgres };
  for (const targets of TARGETS) {
    await using rig = await openRig({
      redisServer: redis,
      postgresServer: postgres,
      env: {
        NOTIFICATION_SHUTDOWN_TIMEOUT: `${BOUND_MS}ms`,
        NOTIFICATION_INTENTS_BATCH_SIZE: "20",
        NOTIFICATION_USER_SERVICE_TIMEOUT: "10s",
        NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "3500ms",
        NOTIFICATION_REDIS_OPERATION_TIMEOUT: "3s",
      },
    });
    await rig.redis.flushall();
    const service = await rig.start();
    const pipeline = Array.from({ length: INTENTS }, (_, index) => rig.addIntent({ idempotency_key: `key ${index}` }));
    await Promise.all(pipeline);
    await eventually(async () => (await rig.query("SELECT 1 FROM notification.records LIMIT 1")).length > 0);

    await Promise.all(targets.map((target) => breakage.out(target, rig, servers)));
    // A route that is not published yet does not need the User Service; a new intent does.
    const isUsersOnly = targets.length === 1 && targets[0] === "users";
    if (isUsersOnly) await rig.addIntent();
    await breakage.until(service, targets);
    const probe = await fetch(`${service.probeUrl}/readyz`);
    assert.deepEqual([probe.status, await probe.text()], [200, '{"status":"ready"}']);

    const { code, durationMs } = await service.terminate();
    // Past its bound it would end with another code.
    assert.equal(code, 0, `${targets.join(" and ")} after ${durationMs} ms:\n${service.output()}`);

    await Promise.all(targets.map((target) => breakage.back(target, rig, servers)));
    await eventually(async () => await rig.redis.ping() === "PONG");
    await finishesEverything(rig, INTENTS + (isUsersOnly ? 1 : 0));
  }
}

async function finishesEverything(rig: Rig, intents: number): Promise<void> {
  await rig.redis.del(consumerLeaseKey(rig.intentsStream)); // avoids a wait of five seconds
  await rig.start();
  await rig.settled();
  const [row] = await rig.query<{ records: number }>("SELECT count(*)::int AS records FROM notification.records");
  assert.equal(row?.records, intents);
  const events = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
  const commands = (await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]);
  assert.deepEqual([events.length, new Set(events).size], [intents, intents]);
  assert.deepEqual([commands.length, new Set(commands).size], [intents, intents]);
}
