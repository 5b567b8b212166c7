/**
 * The PostgreSQL server of this run → an empty database on it and a new Redis server, for one or several measurements,
 * with clients for both.
 *
 * PostgreSQL is durable (fsync, synchronous_commit); Redis writes nothing to disk. A checkpoint writes the data of
 * earlier measurements to disk first. Disposal removes the database and the Redis server.
 */
// @ts-types="@types/pg"
import pg from "pg";
import type { Redis } from "ioredis";
import { closeRedis, openRedis } from "../../tests/support/redis_client.ts";
import { dropDatabase, type Postgres, startPostgres } from "../servers/postgres.ts";
import { type RedisServer, startRedis } from "../servers/redis.ts";

/** Large enough for the WAL of the largest tables, so that filling them forces no checkpoint during a measurement. */
const SETTINGS = { max_wal_size: "8GB" };

export async function startBenchPostgres(): Promise<Postgres> {
  return await startPostgres({ settings: SETTINGS });
}

export interface Setting extends AsyncDisposable {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly dsn: string;
  readonly pool: pg.Pool;
  /** The process ids of Redis and of the postmaster, which all databases of this run share. */
  readonly pids: { readonly postgres: number; readonly redis: number };
}

export async function openSetting(postgres: Postgres): Promise<Setting> {
  const server = await startRedis();
  const redis = await openRedis(server);
  const dsn = await postgres.createDatabase();
  const pool = new pg.Pool({ connectionString: dsn, max: 4 });
  await pool.query("CHECKPOINT");
  const pids = { postgres: await postmasterPid(postgres), redis: await redisPid(redis) };
  return {
    server,
    redis,
    dsn,
    pool,
    pids,
    async [Symbol.asyncDispose]() {
      await pool.end();
      await closeRedis(redis);
      await server[Symbol.asyncDispose]();
      await dropDatabase(postgres.dsn, dsn);
    },
  };
}

/** The first line of `postmaster.pid` is the process id. */
async function postmasterPid({ dataDir }: Postgres): Promise<number> {
  return Number.parseInt(await Deno.readTextFile(`${dataDir}/postmaster.pid`));
}

async function redisPid(redis: Redis): Promise<number> {
  return Number(/^process_id:(\d+)/m.exec(await redis.info("server"))?.[1]);
}
