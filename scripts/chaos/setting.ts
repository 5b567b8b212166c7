/**
 * Fixed server settings → the environment of the chaos run: Redis with its append-only file, PostgreSQL, a stand-in
 * User Service, a proxy in front of each of the three, and the harness's own connections, which bypass these proxies.
 *
 * Redis writes each command to disk before it acknowledges it, and needs some time to load its file. Another server can
 * replace Redis or PostgreSQL; all connections are then forwarded to the new server. Disposal removes everything.
 */
// @ts-types="@types/pg"
import pg from "pg";
import type { Redis } from "ioredis";
import { closeRedis, openRedis } from "../../tests/support/redis_client.ts";
import { type Postgres, startPostgres } from "../servers/postgres.ts";
import { type RedisServer, startRedis } from "../servers/redis.ts";
import { startUserService, type UserService } from "../servers/user_service.ts";
import { ADMINISTRATOR_VARIABLES, userOf } from "./notification_model.ts";
import { TcpProxy } from "./tcp_proxy.ts";

export const STREAMS = {
  intents: "notification:intents",
  push: "gateway:client-events",
  email: "mail:delivery_commands",
} as const;

export const MAX_CONNECTIONS = 60;
export const POSTGRES_SETTINGS: Readonly<Record<string, string>> = {
  max_connections: String(MAX_CONNECTIONS),
  // Keeps copies of the data directory small, and keeps enough WAL for a standby that is made from a copy.
  max_wal_size: "96MB",
  wal_keep_size: "64MB",
};
/** Records are deleted this long after their acceptance, which is long after they were judged. */
export const RETENTION_SECONDS = 150;

export class Setting implements AsyncDisposable {
  #redisServer: RedisServer;
  #postgresServer: Postgres;
  /** Proxies for the harness's own connections: never blocked, but they move to another server like the others. */
  readonly #ownProxies: { readonly redis: TcpProxy; readonly postgres: TcpProxy };
  readonly users: UserService;
  readonly proxies: { readonly redis: TcpProxy; readonly postgres: TcpProxy; readonly users: TcpProxy };
  /** A command fails immediately while there is no connection, and after five seconds without a reply. */
  readonly redis: Redis;
  readonly pool: pg.Pool;
  readonly dsn: string;

  private constructor(
    servers: { redisServer: RedisServer; postgresServer: Postgres; users: UserService },
    { redis, dsn, ownProxies }: { redis: Redis; dsn: string; ownProxies: { redis: TcpProxy; postgres: TcpProxy } },
  ) {
    this.#redisServer = servers.redisServer;
    this.#postgresServer = servers.postgresServer;
    this.#ownProxies = ownProxies;
    this.users = servers.users;
    this.redis = redis;
    this.dsn = dsn;
    // The harness keeps its connections, because during a fault PostgreSQL may accept no new ones.
    this.pool = new pg.Pool({ connectionString: dsn, max: 4, idleTimeoutMillis: 0, query_timeout: 20_000 });
    this.pool.on("error", () => {}); // PostgreSQL is stopped repeatedly
    this.pool.on("connect", (client) => client.on("error", () => {})); // likewise
    this.proxies = {
      redis: new TcpProxy(servers.redisServer.port),
      postgres: new TcpProxy(servers.postgresServer.port),
      users: new TcpProxy(Number(new URL(servers.users.baseUrl).port)),
    };
  }

  static async open(): Promise<Setting> {
    const redisServer = await startChaosRedis();
    const postgresServer = await startPostgres({ settings: POSTGRES_SETTINGS });
    const users = startUserService({ otherUsers: userOf });
    const ownProxies = { redis: new TcpProxy(redisServer.port), postgres: new TcpProxy(postgresServer.port) };
    const redis = await openRedis({ ...redisServer, port: ownProxies.redis.port }, {
      autoResendUnfulfilledCommands: false,
      commandTimeout: 5000,
      maxLoadingRetryTime: 50,
    });
    const dsn = new URL(await postgresServer.createDatabase("notification"));
    dsn.port = String(ownProxies.postgres.port);
    return new Setting({ redisServer, postgresServer, users }, { redis, dsn: dsn.href, ownProxies });
  }

  get redisServer(): RedisServer {
    return this.#redisServer;
  }

  get postgresServer(): Postgres {
    return this.#postgresServer;
  }

  /** Forwards all new connections to this server and closes the present ones. The caller disposes of the old server. */
  useRedis(server: RedisServer): void {
    this.#redisServer = server;
    for (const { redis } of [this.proxies, this.#ownProxies]) {
      redis.target = server.port;
      redis.cut();
    }
  }

  /** Like {@link Setting.useRedis}, for PostgreSQL. */
  usePostgres(server: Postgres): void {
    this.#postgresServer = server;
    for (const { postgres } of [this.proxies, this.#ownProxies]) {
      postgres.target = server.port;
      postgres.cut();
    }
  }

  /** The environment variables of every instance. */
  get environment(): Readonly<Record<string, string>> {
    const { redis, postgres, users } = this.proxies;
    const dsn = new URL(this.dsn);
    dsn.port = String(postgres.port);
    return {
      NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${redis.port}`,
      NOTIFICATION_REDIS_PASSWORD: this.redisServer.password,
      NOTIFICATION_REDIS_OPERATION_TIMEOUT: "1s",
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn.href,
      NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "2s",
      NOTIFICATION_USER_SERVICE_BASE_URL: `http://127.0.0.1:${users.port}`,
      NOTIFICATION_STARTUP_TIMEOUT: "5s",
      NOTIFICATION_ROUTE_BACKOFF_MIN: "200ms",
      NOTIFICATION_ROUTE_BACKOFF_MAX: "2s",
      NOTIFICATION_RECORD_RETENTION: `${RETENTION_SECONDS}s`,
      NOTIFICATION_MALFORMED_INTENT_RETENTION: `${RETENTION_SECONDS}s`,
      NOTIFICATION_CLEANUP_INTERVAL: "1s",
      ...ADMINISTRATOR_VARIABLES,
    };
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(sql, [...values])).rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const proxy of Object.values(this.proxies)) proxy.refuse();
    await Promise.all([closeRedis(this.redis), this.pool.end(), this.users[Symbol.asyncDispose]()]);
    for (const proxy of Object.values(this.#ownProxies)) proxy[Symbol.dispose]();
    await Promise.all([this.redisServer[Symbol.asyncDispose](), this.postgresServer[Symbol.asyncDispose]()]);
  }
}

/** Starts a Redis with the configuration of the setting, and with the given password or a new one. */
export async function startChaosRedis(options: { readonly password?: string } = {}): Promise<RedisServer> {
  return await startRedis({
    ...options,
    appendOnly: true,
    // A command is written to disk before it is acknowledged. Loading is slow, and Redis answers LOADING meanwhile.
    args: [
      ...["--appendfsync", "always", "--key-load-delay", "-8", "--loading-process-events-interval-bytes", "16384"],
      ...["--auto-aof-rewrite-min-size", "32mb", "--repl-diskless-sync-delay", "0"],
    ],
  });
}
