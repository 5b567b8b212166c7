/**
 * The servers that `deno task test` has started once for all tests → an empty database and an empty logical Redis
 * database for each call. No two callers have the same one at the same time (up to 1,023 key spaces at once).
 *
 * TEST_REDIS_ADDR, TEST_REDIS_PASSWORD and TEST_POSTGRES_DSN name the servers. If they are not set, for example when
 * one file is run by `deno test -A`, this module starts its own.
 */
import { createDatabase, dropDatabase, startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { closeRedis, openRedis, type RedisAddress } from "./redis_client.ts";

export interface KeySpace extends RedisAddress {
  /** `host:port` */
  readonly addr: string;
  readonly db: number;
}

// They start while the module loads, not on first use, because the leak detector would report servers that a test
// starts. Our own servers end with this process (scripts/servers/guard.ts).
const [redis, postgres] = await Promise.all([givenRedis() ?? startRedis(), givenPostgres() ?? startPostgres()]);

/** The shared Redis; tests that stop it or change its settings start their own instead. */
function testRedis(): Omit<KeySpace, "db"> {
  return { host: redis.host, port: redis.port, addr: redis.addr, password: redis.password };
}

/** The shared PostgreSQL's superuser URL; tests that stop it or change its settings start their own instead. */
export function testPostgres(): string {
  return postgres.dsn;
}

/** Returns the URL of a new, empty database. @param properties options of CREATE DATABASE */
export async function freshDatabase(properties?: string): Promise<string> {
  return await createDatabase(postgres.dsn, properties === undefined ? {} : { properties });
}

export async function removeDatabase(database: string): Promise<void> {
  await dropDatabase(postgres.dsn, database);
}

/** Returns an empty logical database; its numbers repeat after 1,023 of them. */
export async function freshKeySpace(): Promise<KeySpace> {
  const server = testRedis();
  const client = await openRedis(server);
  try {
    const db = (await client.incr("test:key_spaces") - 1) % 1023 + 1;
    await client.select(db);
    await client.flushdb();
    return { ...server, db };
  } finally {
    await closeRedis(client);
  }
}

function givenRedis() {
  const addr = Deno.env.get("TEST_REDIS_ADDR");
  if (addr === undefined) return undefined;
  const { hostname, port } = new URL(`redis://${addr}`);
  return { addr, host: hostname, port: Number(port), password: Deno.env.get("TEST_REDIS_PASSWORD") ?? "" };
}

function givenPostgres() {
  const dsn = Deno.env.get("TEST_POSTGRES_DSN");
  return dsn === undefined ? undefined : { dsn };
}
