/**
 * The PostgreSQL role and the Redis access control line of docs/security.md are enough for the service. (`deno task
 * test:restricted` runs all end-to-end tests under them.)
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { accessControl, isRestricted, restrictedRole } from "../../scripts/servers/restricted.ts";
import { TABLES } from "../../src/postgres/ownership.ts";
import { openRig } from "../support/rig.ts";

Deno.test("the role owns only the tables, and needs no CREATE once they exist", async () => {
  await using rig = await openRig({ superuser: true });
  const env = { NOTIFICATION_POSTGRES_PRIMARY_DSN: await restrictedRole(rig.dsn) };
  await (await rig.start(env)).terminate();
  const role = new URL(env.NOTIFICATION_POSTGRES_PRIMARY_DSN).username;
  const owned = await rig.query<{ kind: string; name: string }>(
    `SELECT 'table' AS kind, relname AS name FROM pg_class WHERE relkind = 'r' AND pg_get_userbyid(relowner) = $1
     UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) = $1
     UNION ALL SELECT 'database', datname FROM pg_database WHERE pg_get_userbyid(datdba) = $1
     ORDER BY name`,
    [role],
  );
  assert.deepEqual(
    owned.map(({ kind, name }) => `${kind} ${name}`),
    TABLES.toSorted().map((table) => `table ${table}`),
  );

  await rig.query(`REVOKE CREATE ON SCHEMA notification FROM "${role}"`);
  await rig.start(env);
  await rig.addIntent();
  await rig.settled();
  assert.equal((await rig.clientEvents()).length, 1);
});

Deno.test("the access control line lets the service work, and nothing dangerous", async () => {
  const password = "with-a-line";
  await using redisServer = await startRedis({ password, args: isRestricted() ? [] : accessControl(password) });
  await using rig = await openRig({ redisServer });
  const service = await rig.start();
  await rig.addIntent();
  await rig.settled();
  assert.equal((await rig.clientEvents()).length, 1);
  assert.equal((await rig.mailCommands()).length, 1);
  assert.deepEqual(service.logs.filter(({ level }) => level === "error"), []);

  const { code } = await new Deno.Command("redis-cli", {
    args: ["-e", "-p", String(redisServer.port), "FLUSHALL"],
    env: { REDISCLI_AUTH: password },
    stdout: "null",
    stderr: "null",
  }).output();
  assert.equal(code, 1);
});
