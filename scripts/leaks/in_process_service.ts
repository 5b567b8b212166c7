/**
 * Nothing → the whole service inside this process, with its own servers. It can be started and stopped repeatedly, and
 * intents can be sent to it.
 *
 * Disposal ends the servers. The harness's own connections are opened once, so that they do not change the samples.
 */
// @ts-types="@types/pg"
import pg from "pg";
import type { Redis } from "ioredis";
import { readSettings, type Settings } from "../../src/commands/settings.ts";
import { Shutdown } from "../../src/lifecycle/shutdown.ts";
import { Systemd } from "../../src/lifecycle/systemd.ts";
import { runService } from "../../src/service.ts";
import { startTelemetry, type Telemetry } from "../../src/telemetry/open_telemetry.ts";
import { validIntent } from "../../tests/support/intents.ts";
import { closeRedis, openRedis } from "../../tests/support/redis_client.ts";
import { eventually } from "../../tests/support/wait.ts";
import { freePort } from "../servers/free_port.ts";
import { type Postgres, startPostgres } from "../servers/postgres.ts";
import { type RedisServer, startRedis } from "../servers/redis.ts";
import { startUserService, type UserService } from "../servers/user_service.ts";

const STREAM = "notification:intents";
const SETTLE_LIMIT_MS = 30_000;

export interface Running {
  /** Resolves when the service has stopped. @throws Error if its exit code is not 0 */
  stop(): Promise<void>;
}

export class InProcessService implements AsyncDisposable {
  readonly redisServer: RedisServer;
  readonly postgresServer: Postgres;
  readonly users: UserService;
  readonly redis: Redis;
  readonly pool: pg.Pool;
  readonly #settings: Extract<Settings, { kind: "ok" }>;
  readonly #telemetry: Telemetry;

  private constructor(
    servers: Pick<InProcessService, "redisServer" | "postgresServer" | "users">,
    { redis, dsn, telemetry }: { redis: Redis; dsn: string; telemetry: Telemetry },
  ) {
    this.redisServer = servers.redisServer;
    this.postgresServer = servers.postgresServer;
    this.users = servers.users;
    this.redis = redis;
    this.pool = new pg.Pool({ connectionString: dsn, max: 1, idleTimeoutMillis: 0, query_timeout: 5000 });
    this.pool.on("error", () => {}); // PostgreSQL is stopped repeatedly
    this.#settings = settingsOf({
      NOTIFICATION_REDIS_MASTER_ADDR: this.redisServer.addr,
      NOTIFICATION_REDIS_PASSWORD: this.redisServer.password,
      NOTIFICATION_REDIS_OPERATION_TIMEOUT: "500ms",
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn,
      NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "1s",
      NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: "4",
      NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "500ms",
      NOTIFICATION_USER_SERVICE_BASE_URL: this.users.baseUrl,
      NOTIFICATION_USER_SERVICE_TIMEOUT: "500ms",
      NOTIFICATION_USER_SERVICE_CACHE_TTL: "0s",
      NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${freePort()}`,
    });
    this.#telemetry = telemetry;
  }

  static async open(): Promise<InProcessService> {
    const [redisServer, postgresServer] = await Promise.all([startRedis({ appendOnly: true }), startPostgres()]);
    const users = startUserService({ otherUsers: (id) => ({ email: `${id}@example.com` }) });
    const redis = await openRedis(redisServer, { autoResendUnfulfilledCommands: false, commandTimeout: 5000 });
    const resource = { serviceVersion: "0.0.0", instanceId: "leaks", environment: "" };
    const telemetry = await startTelemetry({ get: () => undefined, set: () => {} }, resource);
    const dsn = await postgresServer.createDatabase();
    return new InProcessService({ redisServer, postgresServer, users }, { redis, dsn, telemetry });
  }

  start(): Running {
    const { config, catalog } = this.#settings;
    const exit = (code: number): never => {
      throw new Error(`The service would have ended with exit code ${code}`);
    };
    const shutdown = new Shutdown({ boundMs: 10_000, exit });
    const systemd = new Systemd({
      supervisor: { notifySocket: undefined, watchdogMs: undefined, runtimeDirectory: undefined },
      onProblem: () => {},
    });
    const ended = runService({
      authorities: () => [],
      ...{ config, catalog, shutdown, systemd },
      telemetry: this.#telemetry,
      processId: crypto.randomUUID(),
    });
    return {
      async stop() {
        shutdown.begin("the round is over");
        const code = await ended;
        await systemd.close();
        shutdown.finish();
        if (code !== 0) throw new Error(`The service ended with exit code ${code}`);
      },
    };
  }

  /** Adds `count` intents, each for two users. Rejects if Redis does not accept them all. */
  async addIntents(count: number): Promise<void> {
    const added = Array.from({ length: count }, () => {
      const fields = Object.entries(validIntent({ recipient_user_ids_json: '["user-1", "user-2"]' }));
      return this.redis.xadd(STREAM, "*", ...fields.flat() as string[]);
    });
    const [failed] = (await Promise.allSettled(added)).filter(({ status }) => status === "rejected");
    if (failed !== undefined) throw new Error("Redis did not accept every intent");
  }

  /** Waits until every entry has its outcome and every route is terminal. */
  async settled(): Promise<void> {
    await eventually(async () => {
      const [last] = await this.redis.xrevrange(STREAM, "+", "-", "COUNT", 1);
      const { rows: [found] } = await this.pool.query<{ entry_id: string | null; live: boolean }>(
        `SELECT (SELECT entry_id FROM notification.stream_offsets WHERE stream = $1) AS entry_id,
                EXISTS (SELECT FROM notification.routes WHERE next_attempt_at IS NOT NULL) AS live`,
        [STREAM],
      );
      return found?.entry_id === last?.[0] && found?.live === false;
    }, { timeoutMs: SETTLE_LIMIT_MS, message: "The service did not finish all entries and routes" });
    this.users.requestedIds.length = 0; // otherwise the stand-in's list would grow
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([closeRedis(this.redis), this.pool.end(), this.users[Symbol.asyncDispose]()]);
    await Promise.all([this.redisServer[Symbol.asyncDispose](), this.postgresServer[Symbol.asyncDispose]()]);
  }
}

function settingsOf(variables: Readonly<Record<string, string>>): Extract<Settings, { kind: "ok" }> {
  const settings = readSettings({ variables, notUtf8: [], files: {} });
  if (settings.kind === "refused") throw new Error(settings.problems.join("\n"));
  return settings;
}
