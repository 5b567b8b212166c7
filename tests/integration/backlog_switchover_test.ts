/** The gauges' connection to Redis when the master changes: it follows another connection of the process. */
import { startRedis } from "../../scripts/servers/redis.ts";
import { watchBacklog } from "../../src/backlog/watch_backlog.ts";
import { RedisConnection } from "../../src/redis/connection.ts";
import { RedisMaster } from "../../src/redis/master.ts";
import { freshDatabase, removeDatabase } from "../support/environment.ts";
import { MovingAddress } from "../support/moving_address.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { eventually } from "../support/wait.ts";

Deno.test("the gauges' connection is made again when another connection has reached another master", async () => {
  await using old = await startRedis();
  await using next = await startRedis({ password: old.password });
  await using address = await MovingAddress.open(old.port);
  const dsn = await freshDatabase();
  const redis = {
    ...{ host: "127.0.0.1", port: address.port, db: 0, operationTimeoutMs: 2_000 },
    password: { reveal: () => old.password },
  };
  const postgres = { dsn: { reveal: () => dsn }, operationTimeoutMs: 5_000 };
  const master = new RedisMaster();
  const intake = new RedisConnection(redis, { role: "intake", master });
  await intake.connect();
  const gauges = watchBacklog(
    { redis, postgres, intents: { stream: "notification:intents" } },
    { answerMs: 500, applicationName: "test", master },
  );
  const [atOld, atNext] = await Promise.all([openRedis(old), openRedis(next)]);
  const isAt = async (client: typeof atOld) =>
    String(await client.call("CLIENT", "LIST")).includes("name=notification-service/gauges ");
  try {
    await eventually(() => isAt(atOld));
    address.target = next.port;
    // The old master stays a master, so that nothing breaks the connection or makes its reads fail.
    intake.reconnect("test");
    await eventually(() => isAt(atNext));
    await eventually(async () => !await isAt(atOld));
  } finally {
    await Promise.all([gauges.close(1_000), intake.close(), closeRedis(atOld), closeRedis(atNext)]);
    await removeDatabase(dsn);
  }
});
