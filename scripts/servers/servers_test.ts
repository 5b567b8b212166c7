/** Real servers: durability, restarts, passwords, and that nothing is left behind. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import type { Redis } from "ioredis";
import { closeRedis, openRedis, type RedisAddress } from "../../tests/support/redis_client.ts";
import { eventually } from "../../tests/support/wait.ts";
import { instructions, instructionsForNewer } from "./install.ts";
import { dropDatabase, startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import { breakOff, hang, refuse, startUserService } from "./user_service.ts";

Deno.test("startPostgres() starts a server that keeps its data after a kill and is deleted by disposal", async () => {
  const postgres = await startPostgres({ settings: { log_statement: "all" } });
  try {
    const dsn = await postgres.createDatabase();
    await query(dsn, "CREATE TABLE kept (n int)");
    await query(dsn, "INSERT INTO kept VALUES (1)");

    await postgres.kill("SIGKILL");
    await assert.rejects(query(dsn, "SELECT 1"), /ECONNREFUSED/);
    await postgres.start();
    assert.deepEqual(await query(dsn, "SELECT n FROM kept"), [{ n: 1 }]);
    for (const mode of ["fast", "immediate", "smart"] as const) {
      await postgres.stop(mode);
      await postgres.start();
    }
    assert.deepEqual(await query(dsn, "SELECT n FROM kept"), [{ n: 1 }]);

    const settings = await query(dsn, "SELECT name, setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name", [
      ["fsync", "listen_addresses", "log_statement", "max_connections", "synchronous_commit"],
    ]);
    assert.deepEqual(settings.map((row) => Object.values(row).join("=")), [
      "fsync=on",
      "listen_addresses=127.0.0.1",
      "log_statement=all",
      "max_connections=200",
      "synchronous_commit=on",
    ]);
    const wrong = new URL(dsn);
    wrong.password = "wrong";
    await assert.rejects(query(wrong.href, "SELECT 1"), /password authentication failed/);
    await dropDatabase(postgres.dsn, dsn);
    await assert.rejects(query(dsn, "SELECT 1"), /does not exist/);
  } finally {
    await postgres[Symbol.asyncDispose]();
  }
  await assert.rejects(Deno.stat(postgres.dataDir), Deno.errors.NotFound);
});

Deno.test("kill() of a PostgreSQL server sends SIGSTOP and SIGCONT to every process", async () => {
  await using postgres = await startPostgres();
  const client = new pg.Client({ connectionString: postgres.dsn });
  await client.connect();
  await postgres.kill("SIGSTOP");
  let answered = false;
  const answer = client.query("SELECT 1").then(() => answered = true);
  await sleep(200);
  assert.equal(answered, false);
  await postgres.kill("SIGCONT");
  await answer;
  await client.end();
});

Deno.test("copyData() makes a consistent copy, which can be restored or used for a standby", async () => {
  await using postgres = await startPostgres();
  const dsn = await postgres.createDatabase("kept");
  await query(dsn, "CREATE TABLE kept (n int)");
  const copies = ["one", "two"].map((name) => `${postgres.dataDir}-${name}`);
  for (const [at, copy] of copies.entries()) {
    await query(dsn, "INSERT INTO kept VALUES ($1)", [at]);
    await postgres.copyData(copy);
  }
  await query(dsn, "INSERT INTO kept VALUES (2)");

  await using standby = await startPostgres({
    copy: { dataDir: copies[1]!, password: postgres.password, primaryPort: postgres.port },
  });
  const standbyDsn = new URL(dsn);
  standbyDsn.port = String(standby.port);
  const rows = (of: string) => query(of, "SELECT n FROM kept ORDER BY n");
  await eventually(async () => (await rows(standbyDsn.href)).length === 3);
  await postgres.stop("immediate");
  await query(standby.dsn, "SELECT pg_promote()");
  await query(standbyDsn.href, "INSERT INTO kept VALUES (3)");
  assert.equal((await rows(standbyDsn.href)).length, 4);

  await postgres.restoreData(copies[0]!);
  await postgres.start();
  assert.deepEqual(await rows(dsn), [{ n: 0 }]);
});

Deno.test("startRedis() starts a server with a password, which keeps its data with appendOnly", async () => {
  await using redis = await startRedis({ appendOnly: true, password: "open-sesame" });
  const set = async (password: string) => await withRedis({ ...redis, password }, (client) => client.set("kept", "1"));
  assert.equal(await set("open-sesame"), "OK");
  await assert.rejects(set("wrong"));
  await redis.kill("SIGKILL");
  await redis.start();
  await redis.stop();
  await redis.start();
  assert.equal(await withRedis(redis, (client) => client.get("kept")), "1");
  const config = await withRedis(redis, (client) => client.config("GET", "databases", "bind", "enable-debug-command"));
  assert.deepEqual(Object.fromEntries(pairs(config)), {
    databases: "1024",
    bind: "127.0.0.1",
    "enable-debug-command": "yes",
  });
});

Deno.test("the servers end when the process that started them is killed", async () => {
  const script = `
    import { startPostgres } from ${JSON.stringify(import.meta.resolve("./postgres.ts"))};
    import { startRedis } from ${JSON.stringify(import.meta.resolve("./redis.ts"))};
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    console.log(JSON.stringify({ dataDir: postgres.dataDir, ports: [postgres.port, redis.port] }));
    setInterval(() => {}, 1000);
  `;
  for (const signal of ["SIGKILL", "SIGINT"] as const) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "-"],
      cwd: import.meta.dirname ?? ".",
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    await ReadableStream.from([new TextEncoder().encode(script)]).pipeTo(child.stdin);
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    const { dataDir, ports } = JSON.parse(new TextDecoder().decode(value));
    child.kill(signal);
    await child.status;
    await reader.cancel();
    await eventually(() => !existsSync(dataDir), { message: `the data is still there after ${signal}` });
    for (const port of ports) await assert.rejects(Deno.connect({ port }), Deno.errors.ConnectionRefused);
  }
});

Deno.test("startUserService() answers according to the contract", async () => {
  await using service = startUserService({
    users: [["a/b", { email: "a@example.com", preferred_language: "de" }]],
    otherUsers: (id) => id.startsWith("any") ? {} : undefined,
  });
  assert.deepEqual(await get(service.baseUrl, "a/b"), {
    status: 200,
    body: { user: { user_id: "a/b", email: "a@example.com", preferred_language: "de" } },
  });
  assert.deepEqual(await get(service.baseUrl, "any-1"), { status: 200, body: { user: { user_id: "any-1" } } });
  assert.deepEqual(await get(service.baseUrl, "x"), { status: 404, body: { error: { code: "not_found" } } });
  assert.deepEqual(service.requestedIds, ["a/b", "any-1", "x"]);
  assert.deepEqual(service.inFlight, { now: 0, max: 1 });
});

Deno.test("startUserService() calls `behaviour` as long as it is set", async () => {
  await using service = startUserService();
  service.behaviour = () => refuse(410, "gone");
  assert.equal((await get(service.baseUrl, "x")).status, 410);
  service.behaviour = (id) => breakOff(id);
  await assert.rejects(get(service.baseUrl, "x"));
  service.behaviour = () => hang();
  await assert.rejects(get(service.baseUrl, "x", AbortSignal.timeout(50)), { name: "TimeoutError" });
  await service.stop();
  await assert.rejects(get(service.baseUrl, "x"));
  service.start();
  service.behaviour = undefined;
  assert.equal((await get(service.baseUrl, "x")).status, 404);
});

Deno.test("instructionsForNewer() names the repositories of only the programs that are too old", () => {
  const text = instructionsForNewer(["redis-server", "postgresql"]);
  assert.match(text, /too old: redis-server and postgresql \(Redis 7\.0 or newer is needed, PostgreSQL 14/);
  assert.match(text, /packages\.redis\.io[^]*apt\.postgresql\.org\.sh/);
  assert.doesNotMatch(instructionsForNewer(["redis-server"]), /postgres/i);
});

Deno.test("instructions() names the install command of the system", () => {
  const packages = ["redis-server", "postgresql"];
  assert.match(instructions("debian", packages), /sudo apt-get install -y redis-server postgresql$/);
  assert.match(instructions("darwin", packages), /brew install redis postgresql@17$/);
  assert.match(instructions("fedora", ["postgresql"]), /dnf install -y postgresql-server$/);
  assert.match(instructions("arch", packages), /pacman -S --needed valkey postgresql$/);
  assert.match(instructions("alpine", packages), /apk add redis postgresql$/);
  assert.match(instructions("suse", packages), /zypper install -y redis postgresql-server$/);
  assert.match(instructions("fedora", ["systemd"]), /^Missing: systemd\. Type:\n {2}sudo dnf install -y systemd$/);
  assert.match(instructions("plan9", packages), /package manager/);
});

async function query(connectionString: string, sql: string, values: unknown[] = []): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString });
  try {
    await client.connect();
    return (await client.query<pg.QueryResultRow>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

async function withRedis<T>(server: RedisAddress, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = await openRedis(server);
  try {
    return await use(client);
  } finally {
    await closeRedis(client);
  }
}

function pairs(list: unknown): [string, string][] {
  if (!Array.isArray(list)) return Object.entries(list as Record<string, string>);
  return list.flatMap((name, index) => index % 2 === 0 ? [[String(name), String(list[index + 1])]] : []);
}

async function get(baseUrl: string, id: string, signal?: AbortSignal) {
  const response = await fetch(`${baseUrl}/api/v1/internal/users/${encodeURIComponent(id)}`, signal ? { signal } : {});
  return { status: response.status, body: await response.json() };
}
