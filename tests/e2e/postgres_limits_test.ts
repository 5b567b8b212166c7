/**
 * An operator's limits on PostgreSQL's connections, commits and sessions: the service is slower but steady; nothing is
 * lost or published twice, and it has at most twice as many connections as its pool's maximum.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { testPostgres } from "../support/environment.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const MAX_OPEN_CONNS = 4;
const BACKLOG = 20_000;

Deno.test("without its synchronous standby connections stay within twice their number, and all routes are published once afterwards", async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({ postgresServer: postgres, superuser: true });
  await using service = await rig.spawn({
    NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: String(MAX_OPEN_CONNS),
    NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "500ms",
    NOTIFICATION_PUBLISH_BATCH_SIZE: "100",
  });
  await service.ready();
  const intents = [await rig.addIntent()];
  await rig.settled();
  await addBacklog(rig);
  await setStandby(rig, "'nowhere'");
  for (let more = 0; more < 5; more++) intents.push(await rig.addIntent());
  await service.waitForLog(({ dependency, level }) => dependency === "postgres" && level === "warn");
  let most = 0;
  for (const until = performance.now() + 20_000; performance.now() < until;) {
    const [found] = await rig.query<{ backends: number }>(
      `SELECT count(*)::int AS backends FROM pg_stat_activity WHERE application_name LIKE 'notification-service%'`,
    );
    most = Math.max(most, found!.backends);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(service.exitCode, undefined, service.output());
  assert.ok(most <= 2 * MAX_OPEN_CONNS, `${most} connections`);
  assert.ok(most > MAX_OPEN_CONNS, `${most} connections: nothing was given up`);

  await setStandby(rig, "''");
  await rig.settled({ timeoutMs: 60_000 });
  // One outage, with its end.
  const reported = () => service.logs.flatMap(({ dependency, level }) => dependency === "postgres" ? [level] : []);
  await eventually(() => reported().includes("info"));
  assert.deepEqual(reported(), ["warn", "info"], service.output());
  const pushes = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
  const mails = (await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]);
  assert.deepEqual([pushes.length, new Set(pushes).size], [BACKLOG + intents.length, BACKLOG + intents.length]);
  assert.deepEqual([mails.length, new Set(mails).size], [intents.length, intents.length]);
});

Deno.test("a role with three connections for a pool of ten is enough", async () => {
  await withRole("ALTER ROLE $role CONNECTION LIMIT 3", async (rig, dsn) => {
    await using service = await rig.spawn({
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn,
      NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: "10",
      NOTIFICATION_INTENTS_BATCH_SIZE: "20",
      NOTIFICATION_PUBLISH_BATCH_SIZE: "20",
    });
    await service.ready();
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 100 }, () => rig.addIntent()));
      await rig.settled();
    }
    assert.equal((await rig.clientEvents()).length, 500);
    assert.deepEqual(service.logs.filter(({ dependency, level }) => dependency !== undefined || level === "error"), []);
  });
});

Deno.test("time-outs of sessions on the role are no outage", async () => {
  await withRole("ALTER ROLE $role SET idle_session_timeout = '500ms'", async (rig, dsn) => {
    await using service = await rig.spawn({
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn,
      NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "1s",
    });
    await service.ready();
    for (let intents = 0; intents < 4; intents++) {
      await rig.addIntent();
      await rig.settled();
      await new Promise((resolve) => setTimeout(resolve, 1_200));
    }
    assert.deepEqual(service.logs.filter(({ dependency, level }) => dependency !== undefined || level === "error"), []);
  });
});

/** Push routes that are due, of as many records. */
async function addBacklog(rig: Rig): Promise<void> {
  await rig.query(
    `INSERT INTO notification.records (notification_id, notification_type, producer, audience_kind, recipient_user_ids,
       payload, idempotency_key, request_fingerprint, stream, stream_entry_id, occurred_at, accepted_at)
     SELECT lpad(to_hex(n), 32, '0')::uuid, 'game.turn.ready', 'game-master', 'user', '["user-1"]',
       '{"game_id":"g","game_name":"N","turn_number":7}', 'backlog-' || n, '', 'elsewhere', n || '-0', now(), now()
     FROM generate_series(1, ${BACKLOG}) AS n`,
  );
  await rig.query(
    `INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts, next_attempt_at)
     SELECT lpad(to_hex(n), 32, '0')::uuid, 'push:user:user-1', 'push', 'user:user-1', 'pending', 3, now()
     FROM generate_series(1, ${BACKLOG}) AS n`,
  );
}

async function setStandby(rig: Rig, names: string): Promise<void> {
  const client = await rig.pool.connect();
  await client.query("SET synchronous_commit = local");
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = ${names}`);
  await client.query("SELECT pg_reload_conf()");
  await eventually(async () =>
    Object.values((await client.query("SHOW synchronous_standby_names")).rows[0])[0] === names.slice(1, -1)
  );
  client.release(true);
}

async function withRole(setting: string, use: (rig: Rig, dsn: string) => Promise<void>): Promise<void> {
  await using rig = await openRig({ superuser: true });
  const role = `role_${crypto.randomUUID().replaceAll("-", "")}`;
  const url = new URL(rig.dsn);
  const admin = new pg.Client({ connectionString: testPostgres() });
  await admin.connect();
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  await admin.query(`GRANT CREATE, CONNECT ON DATABASE ${url.pathname.slice(1)} TO ${role}`);
  await admin.query(setting.replaceAll("$role", role));
  await admin.end();
  await use(rig, Object.assign(url, { username: role, password: "secret" }).href);
}
