/** Connections to a real Redis: with the address forms of the configuration, and after the master has moved. */
import assert from "node:assert/strict";
import type { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { parseHostPort } from "../../src/config/addresses.ts";
import { outageOf } from "../../src/lifecycle/outage.ts";
import { RedisConnection, type RedisSettings, Script } from "../../src/redis/connection.ts";
import { RedisError } from "../../src/redis/failures.ts";
import { RedisMaster } from "../../src/redis/master.ts";
import { MovingAddress } from "../support/moving_address.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { eventually } from "../support/wait.ts";

/** Some containers have none. */
function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("[::1]:6379 is connected to over IPv6", { ignore: !hasIpv6() }, async () => {
  await using server = await startRedis({ args: ["--bind", "127.0.0.1", "::1"] });
  const address = parseHostPort(`[::1]:${server.port}`);
  assert.ok(address !== undefined);
  const password = { reveal: () => server.password };
  const connection = new RedisConnection({ ...address, db: 0, operationTimeoutMs: 2_000, password }, { role: "test" });
  await connection.connect();
  try {
    assert.match(String(await connection.call("CLIENT", "INFO")), new RegExp(`laddr=\\[::1\\]:${server.port} `));
  } finally {
    await connection.close();
  }
});

Deno.test("all connections of a process move to the new master when the one that only waits notices it", async () => {
  await using old = await startRedis();
  await using next = await startRedis({ password: old.password });
  await using address = await MovingAddress.open(old.port);
  await using group = await openGroup({ address, password: old.password }, 3);
  const [waiting, writing, reading] = group.connections;
  const waited = waiting!.call("XREAD", "BLOCK", 60_000, "STREAMS", "stream", "$").catch((error) => error);
  const lost = writing!.call("BLPOP", "list", 0).catch((error) => error);
  address.target = next.port;
  await withClient(old, (client) => client.call("REPLICAOF", "127.0.0.1", next.port));
  const isTaught = ({ code, message }: RedisError) => code === "UNBLOCKED" || /no longer a master/.test(message);
  for (const error of [await waited, await lost]) {
    assert.ok(error instanceof RedisError && isTaught(error), String(error));
  }
  for (const connection of group.connections) await reaches(connection, next);
  await writing!.call("SET", "key", "value");
  assert.equal(await reading!.call("GET", "key"), "value");
});

Deno.test("when a connection reaches another master, the others move too, although the old one still accepts writes", async () => {
  await using old = await startRedis();
  await using next = await startRedis({ password: old.password });
  await using address = await MovingAddress.open(old.port);
  await using group = await openGroup({ address, password: old.password }, 3);
  address.target = next.port;
  for (const connection of group.connections) await reaches(connection, old);
  const id = await group.connections[1]!.call("CLIENT", "ID") as number;
  await withClient(old, (client) => client.call("CLIENT", "KILL", "ID", id));
  for (const connection of group.connections) await reaches(connection, next);
});

Deno.test("a replica is refused until it is promoted", async () => {
  await using server = await startRedis();
  await using address = await MovingAddress.open(server.port);
  await using group = await openGroup({ address, password: server.password }, 2);
  await withClient(server, (client) => client.call("REPLICAOF", "127.0.0.1", 1));
  const [one, other] = group.connections;
  await assert.rejects(async () => await one!.call("SET", "key", "value"), /READONLY/);
  const isRefused = { message: "A master is needed, this server's role is slave" };
  await eventually(() => assert.rejects(async () => await other!.call("GET", "key"), isRefused).then(() => true));
  const late = new RedisConnection(group.settings, { role: "late" });
  await assert.rejects(late.connect(), isRefused);
  await late.close();
  await withClient(server, (client) => client.call("REPLICAOF", "NO", "ONE"));
  for (const connection of group.connections) await reaches(connection, server);
});

Deno.test("a replaced password is no failure for any of the connections that are refused with the old one", async () => {
  await using server = await startRedis();
  await using address = await MovingAddress.open(server.port);
  let current = server.password;
  let file = current;
  const password = { reveal: () => current, readAgain: () => current = file };
  await using group = await openGroup({ address, password }, 4);
  await withClient(server, async (client) => {
    await client.call("CONFIG", "SET", "requirepass", file = "another password");
    await client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  });
  const refusals = new Set<string>();
  await Promise.all(group.connections.map((connection) =>
    eventually(async () => {
      const answer = await connection.call("PING").catch((error: RedisError) => error);
      if (/WRONGPASS|NOAUTH/.test(String(answer))) refusals.add(String(answer));
      return answer === "PONG";
    }, { intervalMs: 1 })
  ));
  assert.deepEqual([...refusals], []);
});

async function openGroup(
  { address, password }: { address: MovingAddress; password: string | RedisSettings["password"] },
  size: number,
) {
  const settings: RedisSettings = {
    ...{ host: "127.0.0.1", port: address.port, db: 0, operationTimeoutMs: 2_000 },
    password: typeof password === "string" ? { reveal: () => password } : password,
  };
  const master = new RedisMaster();
  const connections = Array.from(
    { length: size },
    (_, at) => new RedisConnection(settings, { role: `test-${at}`, master, blockMs: 60_000 }),
  );
  await Promise.all(connections.map((connection) => connection.connect()));
  return {
    settings,
    connections,
    [Symbol.asyncDispose]: async () => void await Promise.all(connections.map((connection) => connection.close())),
  };
}

async function reaches(connection: RedisConnection, { port }: RedisServer): Promise<void> {
  await eventually(async () => String(await connection.call("INFO", "server")).includes(`tcp_port:${port}\r\n`));
}

/** Over another connection, which does not move. */
async function withClient(server: RedisServer, use: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = await openRedis(server);
  await use(client);
  await closeRedis(client);
}

Deno.test("a script that an operator kills is an outage of Redis, and the connection stays", async () => {
  await using server = await startRedis({ args: ["--busy-reply-threshold", "10"] });
  await using address = await MovingAddress.open(server.port);
  await using group = await openGroup({ address, password: server.password }, 1);
  const [connection] = group.connections;
  const client = await openRedis(server);
  for (const run of ["run", "runBuffer"] as const) {
    const killed = connection![run](new Script("while true do end"), [], []).catch((error) => error);
    await eventually(async () => await client.call("SCRIPT", "KILL") === "OK");
    const error = await killed;
    assert.match(String(error), /killed by user/);
    assert.equal(outageOf(error)?.dependency, "redis");
    assert.equal(await connection!.call("PING"), "PONG");
  }
  await closeRedis(client);
});
