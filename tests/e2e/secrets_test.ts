/**
 * The process prints no secret: neither Redis's password nor the DSN's, in any encoding, whatever goes wrong
 * (docs/contract.md, section 1).
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { freePort } from "../../scripts/servers/free_port.ts";
import { openRig } from "../support/rig.ts";
import { type Environment, type ServiceProcess, startService } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const REDIS_PASSWORD = "r3d1s-secret/ü@:%41";
const POSTGRES_PASSWORD = "p0stgres secret/ü@:%42";
const DEBUG = { NOTIFICATION_LOG_LEVEL: "debug" };

Deno.test("secrets stay out of the output of a service that runs, suffers outages and stops", async () => {
  await using redis = await startRedis({ password: REDIS_PASSWORD, appendOnly: true });
  await using postgres = await startPostgres();
  await using rig = await openRig({ redisServer: redis, postgresServer: postgres, env: DEBUG });
  const dsn = await withPassword(rig.dsn, POSTGRES_PASSWORD);
  const service = await rig.start({ NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
  await rig.addIntent();
  await rig.addIntent({ payload_json: "{}" });
  await rig.settled();
  await redis.kill("SIGKILL");
  await service.waitForLog((line) => line.level !== "info" && /redis/i.test(JSON.stringify(line)));
  await redis.start();
  await service.waitForLog((line) => line.message === "dependency is available again");
  await postgres.stop("immediate");
  await service.waitForLog((line) => line.level !== "info" && /postgres/i.test(JSON.stringify(line)));
  await postgres.start();
  await eventually(async () => await rig.redis.ping() === "PONG");
  await rig.addIntent();
  await rig.settled();
  assert.equal((await service.terminate()).code, 0);
  hasNoSecret(service, dsn);
});

Deno.test("secrets stay out of the output of a start that fails", async () => {
  await using rig = await openRig({ env: DEBUG });
  const closed = `127.0.0.1:${freePort()}`;
  const url = new URL(rig.dsn);
  const dsn = (changes: Partial<URL>) =>
    Object.assign(new URL(rig.dsn), { password: POSTGRES_PASSWORD, ...changes }).href;
  const failures: readonly Environment[] = [
    { NOTIFICATION_REDIS_PASSWORD: REDIS_PASSWORD },
    { NOTIFICATION_REDIS_PASSWORD: REDIS_PASSWORD, NOTIFICATION_REDIS_MASTER_ADDR: closed },
    { NOTIFICATION_REDIS_PASSWORD: REDIS_PASSWORD, NOTIFICATION_REDIS_MASTER_ADDR: "no-such-host.invalid:6379" },
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn({}) },
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn({ host: closed }) },
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn({ host: "no-such-host.invalid" }) },
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn({ username: "no such user" }) },
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn({ password: url.password, pathname: "/no-such-database" }) },
  ];
  await Promise.all(failures.map(async (changes) => {
    const service = await rig.spawn(changes);
    const code = await service.exit();
    assert.equal(code, 69, service.output());
    assert.match(service.output(), changes["NOTIFICATION_POSTGRES_PRIMARY_DSN"] ? /postgres/i : /redis/i);
    hasNoSecret(service, changes["NOTIFICATION_POSTGRES_PRIMARY_DSN"] ?? rig.dsn);
  }));
});

Deno.test("secrets stay out of the output of a configuration that is refused", async () => {
  const encoded = encodeURIComponent(POSTGRES_PASSWORD);
  const dsns = [
    `postgres://user:${encoded}@host:port/database`,
    `postgres://user:${POSTGRES_PASSWORD}@host/database`,
    `user:${encoded}@host`,
    `postgres//user:${encoded}@host/database`,
    `postgres://user:${encoded}@/database?sslmode=maybe`,
    `postgres://host/database?user=user&password=${encoded}`,
  ];
  await Promise.all(dsns.map(async (dsn) => {
    await using service = await startService({
      NOTIFICATION_REDIS_MASTER_ADDR: `user:${REDIS_PASSWORD}@host:6379`,
      NOTIFICATION_REDIS_PASSWORD: REDIS_PASSWORD,
      NOTIFICATION_REDIS_PASSWORD_FILE: "/dev/null",
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn,
      NOTIFICATION_USER_SERVICE_BASE_URL: `http://user:${encoded}@host:port/`,
    });
    assert.equal(await service.exit(), 78);
    hasNoSecret(service, dsn);
  }));
});

function hasNoSecret(service: ServiceProcess, dsn: string): void {
  const output = service.output();
  const password = URL.canParse(dsn) ? new URL(dsn).password : "";
  const secrets = [
    dsn,
    password,
    ...[REDIS_PASSWORD, POSTGRES_PASSWORD].flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      secret.replace("%41", "A").replace("%42", "B"),
      btoa(unescapeToBytes(secret)),
    ]),
  ];
  assert.ok(output.length > 0);
  for (const secret of secrets) assert.ok(secret === "" || !output.includes(secret), `${secret} in\n${output}`);
  assert.doesNotMatch(output, /r3d1s|p0stgres/);
}

function unescapeToBytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Gives the superuser another password, and returns the DSN with it. */
async function withPassword(dsn: string, password: string): Promise<string> {
  const client = new pg.Client({ connectionString: dsn });
  await client.connect();
  await client.query(`CREATE ROLE secretive SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(password)}`);
  await client.end();
  const url = new URL(dsn);
  url.username = "secretive";
  url.password = encodeURIComponent(password);
  return url.href;
}
