/**
 * Reasons why the service does not start: exit code 69 and a clear message for each dependency (docs/contract.md,
 * sections 4 and 10).
 */
import assert from "node:assert/strict";
import { freePort } from "../../scripts/servers/free_port.ts";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { TABLES } from "../../src/postgres/ownership.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { Environment } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

Deno.test("Redis and PostgreSQL that cannot be used are named, with the reason", async () => {
  await using rig = await openRig();
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closed = `127.0.0.1:${freePort()}`;
  const silentAddr = `127.0.0.1:${silent.addr.port}`;
  // Short bounds only for servers that don't answer: on a busy machine the answers of others may come late.
  const QUICK_REDIS = { NOTIFICATION_STARTUP_TIMEOUT: "1s", NOTIFICATION_REDIS_OPERATION_TIMEOUT: "500ms" };
  const QUICK_POSTGRES = { NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "1s" };
  const dsn = (changes: Partial<URL>) => ({
    NOTIFICATION_POSTGRES_PRIMARY_DSN: Object.assign(new URL(rig.dsn), changes).href,
  });
  const cases: readonly (readonly [Environment, ...RegExp[]])[] = [
    [{ NOTIFICATION_REDIS_MASTER_ADDR: closed }, /redis/i, new RegExp(closed)],
    [{ NOTIFICATION_REDIS_MASTER_ADDR: silentAddr, ...QUICK_REDIS }, /redis/i, /time|within|answer/i],
    [{ NOTIFICATION_REDIS_PASSWORD: "wrong" }, /redis/i, /WRONGPASS|password/i],
    [{ NOTIFICATION_REDIS_DB: "5000" }, /redis/i, /DB|database/i],
    [dsn({ host: closed }), /postgres/i, /refused/i],
    [{ ...dsn({ host: silentAddr }), ...QUICK_POSTGRES }, /postgres/i, /time|within|answer/i],
    [dsn({ password: "wrong" }), /postgres/i, /password/i],
    [dsn({ pathname: "/no-such-database" }), /postgres/i, /no-such-database/],
    [
      dsn({ search: "?sslmode=require" }),
      /postgres/i,
      /does not answer: the TLS handshake failed: The server does not support SSL connections/,
    ],
  ];
  await Promise.all(cases.map(([env, ...expected]) => refused(rig, env, ...expected)));
});

Deno.test("a Redis that may evict keys, is a replica or a cluster is refused", async () => {
  const servers: readonly (readonly [string[], ...RegExp[]])[] = [
    [["--maxmemory-policy", "allkeys-lru"], /maxmemory-policy/, /noeviction/],
    [["--replicaof", "127.0.0.1", "1"], /replica|master/i],
    // A cluster has only one logical database, and a second port, which is by default among those of outgoing connections.
    [["--cluster-enabled", "yes", "--databases", "1", "--cluster-port", String(freePort())], /cluster/i],
  ];
  await Promise.all(servers.map(async ([args, ...expected]) => {
    await using redis = await startRedis({ args });
    await using rig = await openRig({ redisServer: redis });
    await refused(rig, {}, /redis/i, ...expected);
  }));
});

Deno.test("a Redis user who may not run what the service needs is refused at the start", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({ redisServer: redis });
  await rig.redis.call("ACL", "SETUSER", "default", "-eval", "-evalsha", "-script", "-fcall");
  await refused(rig, {}, /redis/i, /NOPERM|permission/i);
});

Deno.test("a Redis without persistence is a warning, one with it is not", async () => {
  await using rig = await openRig();
  const service = await rig.start();
  await service.waitForLog((line) => line.level === "warn" && /persistence/i.test(JSON.stringify(line)));
  await using redis = await startRedis({ appendOnly: true });
  await using durable = await openRig({ redisServer: redis });
  const other = await durable.start();
  await other.waitForLog((line) => line.message === "consuming");
  assert.doesNotMatch(other.output(), /persistence/i);
});

Deno.test("a schema that is newer, of another role or incomplete is refused", async () => {
  await using rig = await openRig({ superuser: true });
  await (await rig.start()).terminate();
  await rig.query("INSERT INTO notification.goose_db_version (version_id, is_applied) VALUES (99999, true)");
  await refused(rig, {}, /99999/, /newer/i);
  await rig.query("DELETE FROM notification.goose_db_version WHERE version_id = 99999");
  await (await rig.start()).terminate();

  await rig.query("DROP TABLE notification.goose_db_version");
  await refused(rig, {}, /migrat/i, /records|exists/);
  await rig.query("DROP SCHEMA notification CASCADE");
  await (await rig.start()).terminate();
});

Deno.test("a role that does not own the tables is refused, and table and owner are named", async () => {
  await using rig = await openRig({ superuser: true });
  await (await rig.start()).terminate();
  const { role, dsn } = await newRole(rig);
  try {
    await rig.query(`GRANT USAGE ON SCHEMA notification TO ${role}`);
    await rig.query(`GRANT ALL ON ALL TABLES IN SCHEMA notification TO ${role}`);
    const service = await refused(rig, { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn }, /own/, /postgres/);
    assert.match(service, new RegExp(`notification\\.(${TABLES.join("|")})`));
    assert.ok(service.includes(role), service);

    // Ownership through membership in a role is enough.
    await rig.query(`CREATE ROLE ${role}_owner`);
    await rig.query(`ALTER SCHEMA notification OWNER TO ${role}_owner`);
    for (const table of TABLES) {
      await rig.query(`ALTER TABLE notification.${table} OWNER TO ${role}_owner`);
    }
    await rig.query(`GRANT ${role}_owner TO ${role}`);
    const running = await rig.start({ NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
    await rig.addIntent();
    await rig.settled();
    assert.equal((await running.terminate()).code, 0);
  } finally {
    await dropRoles(rig, role, `${role}_owner`);
  }
});

Deno.test("a role with the right creates the schema; if it exists, no right to create schemas is needed", async () => {
  await using rig = await openRig({ superuser: true });
  const { role, dsn } = await newRole(rig);
  try {
    await refused(
      rig,
      { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn },
      /permission denied|may not|CREATE/,
      /schema|database/,
    );
    await rig.query(`CREATE SCHEMA notification AUTHORIZATION ${role}`);
    await rig.start({ NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
    await rig.addIntent();
    await rig.settled();
    assert.equal((await rig.clientEvents()).length, 1);
  } finally {
    await Promise.all(rig.instances.map((instance) => instance.kill()));
    await dropRoles(rig, role);
  }
});

Deno.test("a port that is in use is named", async () => {
  await using rig = await openRig();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const service = await rig.spawn({ NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${taken.addr.port}` });
  const code = await service.exit();
  assert.equal(code, 69, service.output());
  assert.match(service.output(), new RegExp(`${taken.addr.port}`));
  assert.doesNotMatch(service.output(), /^\s+at .*\.ts:/m);
});

Deno.test("the probe listens only when the checks have passed", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({ redisServer: redis, env: { NOTIFICATION_STARTUP_TIMEOUT: "20s" } });
  await redis.kill("SIGSTOP");
  const service = await rig.spawn();
  await service.waitForLog((line) => line.logger === "service");
  await eventually(() => connectionsTo(redis));
  await assert.rejects(fetch(`${service.probeUrl}/healthz`), TypeError);
  await redis.kill("SIGCONT");
  await service.ready();
});

/** The start fails with exit code 69; every pattern is in the output. */
async function refused(rig: Rig, env: Environment, ...expected: readonly RegExp[]): Promise<string> {
  const service = await rig.spawn(env);
  const code = await service.exit();
  const output = service.output();
  assert.equal(code, 69, output);
  for (const pattern of expected) assert.match(output, pattern);
  assert.doesNotMatch(output, /^\s+at .*\.ts:/m, "a message, not a stack");
  return output;
}

async function newRole(rig: Rig): Promise<{ role: string; dsn: string }> {
  const role = `role_${crypto.randomUUID().replaceAll("-", "")}`;
  await rig.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role-password'`);
  return { role, dsn: Object.assign(new URL(rig.dsn), { username: role, password: "role-password" }).href };
}

async function dropRoles(rig: Rig, ...roles: readonly string[]): Promise<void> {
  await Promise.all(rig.instances.map((instance) => instance.kill()));
  for (const role of roles) {
    const [found] = await rig.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [role]);
    if (found !== undefined) await rig.query(`DROP OWNED BY ${role}`);
    await rig.query(`DROP ROLE IF EXISTS ${role}`);
  }
}

/** Whether a client is connected to the server's port (Linux; elsewhere the log line before is enough). */
async function connectionsTo({ port }: RedisServer): Promise<boolean> {
  try {
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    return new RegExp(` 0100007F:${hex} 01 `).test(await Deno.readTextFile("/proc/net/tcp"));
  } catch {
    return true;
  }
}
