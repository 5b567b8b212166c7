/**
 * A Redis master → a replica of it on a free port, which has all data that the master had when the replica was started.
 */
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";
import { closeRedis, openRedis } from "./redis_client.ts";
import { eventually } from "./wait.ts";

export async function startReplica(master: RedisServer): Promise<RedisServer> {
  const replica = await startRedis({
    password: master.password,
    args: [
      ...["--replicaof", master.host, String(master.port), "--masterauth", master.password],
      ...["--repl-diskless-sync-delay", "0"],
      ...(isRestricted() ? ["--masteruser", OBSERVER] : []),
    ],
  });
  const client = await openRedis(replica);
  await eventually(async () => String(await client.call("INFO", "replication")).includes("master_link_status:up"));
  await closeRedis(client);
  return replica;
}
