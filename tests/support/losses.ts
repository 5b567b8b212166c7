/**
 * A rig → Redis or PostgreSQL in an earlier state, as after a failover or a restore.
 *
 * Redis is then another server (a new replication id) with its earlier keys, except the consumer lease where no file
 * has it; PostgreSQL has lost the rows that were added since, and has its earlier offsets. No service may run
 * meanwhile, unless a function says otherwise.
 */
import type { RedisServer } from "../../scripts/servers/redis.ts";
import type { Rig } from "./rig.ts";
import { eventually } from "./wait.ts";

/** Keeps the current state of a Redis that writes nothing to disk; resolves with a function that restores it. */
export async function keepRedis(rig: Rig, server: RedisServer): Promise<() => Promise<void>> {
  // The consumer's process has ended before this is restored.
  const keys = (await rig.redis.keys("*")).filter((key) => !key.startsWith("notification:consumer_lease:"));
  const dumps = await Promise.all(keys.map(async (key) => ({
    key,
    value: await rig.redis.dumpBuffer(key),
    ttlMs: Math.max(0, await rig.redis.pttl(key)),
  })));
  return async () => {
    await server.kill("SIGKILL");
    await server.start();
    await eventually(() => rig.redis.ping());
    for (const { key, value, ttlMs } of dumps) await rig.redis.restore(key, ttlMs, value!);
  };
}

/**
 * Keeps the length of the append-only file of a Redis with `appendOnly`; resolves with a function that kills the
 * server, cuts the file to that length and starts the server. The service may run meanwhile.
 */
export async function keepAppendOnlyFile(server: RedisServer): Promise<() => Promise<void>> {
  const file = `${server.folder}/appendonlydir/appendonly.aof.1.incr.aof`;
  const { size } = await Deno.stat(file);
  return async () => {
    await server.kill("SIGKILL");
    await Deno.truncate(file, size);
    await server.start();
  };
}

/**
 * Keeps the current state of PostgreSQL; resolves with a function that deletes everything that was committed since.
 * Leases have expired by then.
 */
export async function keepPostgres(rig: Rig): Promise<() => Promise<void>> {
  const known = (await rig.query<{ id: string }>("SELECT notification_id AS id FROM notification.records"))
    .map(({ id }) => id);
  const offsets = await rig.query<{ stream: string; entry_id: string; entries_read: string | null }>(
    "SELECT stream, entry_id, entries_read FROM notification.stream_offsets",
  );
  return async () => {
    for (const table of ["records", "routes"]) {
      await rig.query(`DELETE FROM notification.${table} WHERE notification_id <> ALL ($1)`, [known]);
    }
    for (const { stream, entry_id, entries_read } of offsets) {
      await rig.query(
        "UPDATE notification.stream_offsets SET entry_id = $2, entries_read = $3 WHERE stream = $1",
        [stream, entry_id, entries_read],
      );
    }
    for (const lease of await rig.redis.keys("route_leases:*")) await rig.redis.del(lease);
  };
}

/** How many hand-offs Redis has refused since its start because its epoch was not checked. */
export async function refusedHandOffs(rig: Rig): Promise<number> {
  return Number(/errorstat_EPOCH:count=(\d+)/.exec(await rig.redis.info("errorstats"))?.[1] ?? 0);
}

/** Sends this many intents and waits until `routes` routes are published in all. */
export async function addAndPublish(rig: Rig, intents: number, routes: number): Promise<void> {
  for (let added = 0; added < intents; added++) await rig.addIntent();
  await untilPublished(rig, routes);
}

/** Resolves when this many routes are published in all. */
export async function untilPublished(rig: Rig, routes: number): Promise<void> {
  await eventually(async () => {
    const [row] = await rig.query<{ routes: number }>(
      "SELECT count(*)::int AS routes FROM notification.routes WHERE status = 'published'",
    );
    return row!.routes === routes;
  }, { timeoutMs: 30_000, message: `${routes} routes were not published` });
}
