/**
 * Nothing → everything that a test of a single stage needs: a migrated database, a key space, the service's own pool
 * and Redis connections, and loops whose `pass` the test calls.
 *
 * Disposing of it ends every connection and drops the database.
 */
// @ts-types="@types/pg"
import type pg from "pg";
import type { Redis } from "ioredis";
import { startUserService, type UserService as StandIn } from "../../scripts/servers/user_service.ts";
import { type Clock, systemClock } from "../../src/clock.ts";
import { createIntakeEvents, type IntakeEvents } from "../../src/intake/events.ts";
import { type ConsumerOptions, IntentConsumer } from "../../src/intake/intent_consumer.ts";
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import type { Channel } from "../../src/notification/route.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { openPool, type PostgresPool } from "../../src/postgres/pool.ts";
import { Publisher, type PublisherOptions } from "../../src/publish/publisher.ts";
import { createPublishEvents } from "../../src/publish/events.ts";
import { OutcomeWriter } from "../../src/publish/outcome_writer.ts";
import { RedisConnection } from "../../src/redis/connection.ts";
import { checkRedisServer, type Loss } from "../../src/repair/redis_check.ts";
import { Relay } from "../../src/relay/relay.ts";
import { createInstruments } from "../../src/telemetry/instruments.ts";
import { UserService } from "../../src/user_service/client.ts";
import { freshDatabase, freshKeySpace, removeDatabase } from "./environment.ts";
import { type IntentFields, validIntent } from "./intents.ts";
import { closeRedis, openRedis, type RedisAddress } from "./redis_client.ts";

export const INTENTS = "notification:intents";
export const STREAMS: Readonly<Record<Channel, string>> = {
  push: "gateway:client-events",
  email: "mail:delivery_commands",
};

const instruments = createInstruments();

export interface StageOptions {
  /** A server of the test's own instead of the shared one. */
  readonly redisServer?: RedisAddress;
}

export async function openStage({ redisServer }: StageOptions = {}): Promise<Stage> {
  const dsn = await freshDatabase();
  const address = redisServer ?? await freshKeySpace();
  const stage = new Stage(dsn, address, await openRedis(address));
  await migrate(stage.pool, { lockTimeoutMs: 5000 });
  await stage.checkRedis();
  return stage;
}

export class Stage implements AsyncDisposable {
  readonly pool: pg.Pool;
  readonly redis: Redis;
  readonly users: StandIn;
  readonly #dsn: string;
  readonly #address: RedisAddress;
  readonly #connections: RedisConnection[] = [];

  constructor(dsn: string, address: RedisAddress, redis: Redis) {
    this.#dsn = dsn;
    this.#address = address;
    this.redis = redis;
    this.pool = openPool({
      dsn: { reveal: () => dsn },
      operationTimeoutMs: 5000,
      maxOpenConns: 8,
      applicationName: "test",
    });
    this.users = startUserService({ otherUsers: (id) => ({ email: `${id}@example.com`, preferred_language: "en" }) });
  }

  /** Another pool like the service's; the caller closes it. */
  poolWith(operationTimeoutMs: number): PostgresPool {
    const dsn = { reveal: () => this.#dsn };
    return openPool({ dsn, operationTimeoutMs, maxOpenConns: 4, applicationName: "test" });
  }

  /** A connection like the service's. */
  async connection(operationTimeoutMs = 2000, blockMs = 0): Promise<RedisConnection> {
    const { host, port, password, db = 0 } = this.#address;
    const connection = new RedisConnection(
      { host, port, db, operationTimeoutMs, password: { reveal: () => password } },
      { role: "test", blockMs },
    );
    await connection.connect();
    this.#connections.push(connection);
    return connection;
  }

  async consumer(changes: Partial<ConsumerOptions> = {}): Promise<IntentConsumer> {
    return new IntentConsumer({
      stream: INTENTS,
      processId: crypto.randomUUID(),
      batchSize: 1_000,
      readBlockTimeoutMs: 20,
      recordRetentionMs: 3_600_000,
      malformedRetentionMs: 3_600_000,
      catalog: embeddedCatalog(),
      administratorEmails: new Map(),
      maxAttempts: { push: 3, email: 7 },
      postgres: this.pool,
      redis: await this.connection(),
      blockingRedis: await this.connection(2000, 20),
      userService: new UserService(
        { baseUrl: this.users.baseUrl, timeoutMs: 10_000, maxConcurrency: 32, cacheTtlMs: 0 },
        { clock: systemClock, observe: () => {} },
      ),
      relay: new Relay(systemClock),
      events: this.intakeEvents(changes.catalog),
      clock: systemClock,
      abandon: new AbortController().signal,
      ...changes,
    });
  }

  async publisher(channel: Channel, changes: Partial<PublisherOptions> = {}): Promise<Publisher> {
    const redis = changes.redis ?? await this.connection();
    return new Publisher({
      channel,
      outbound: { stream: STREAMS[channel], maxLength: 0 },
      batchSize: 1_000,
      leaseTtlMs: 3_600_000,
      waitReplicas: 0,
      operationTimeoutMs: 2000,
      ladder: { backoffMinMs: 1000, backoffMaxMs: 300_000 },
      catalog: embeddedCatalog(),
      relay: new Relay(systemClock).channels[channel],
      postgres: this.pool,
      redis,
      writer: this.writer(redis),
      onUncheckedServer: () => {},
      events: createPublishEvents({
        channel,
        stream: STREAMS[channel],
        instruments,
        tracing: undefined,
        clock: systemClock,
      }),
      clock: systemClock,
      ...changes,
    });
  }

  intakeEvents(catalog = embeddedCatalog()): IntakeEvents {
    return createIntakeEvents({ stream: INTENTS, catalog, instruments, tracing: undefined, clock: systemClock });
  }

  /** The writer of outcomes; `gatherMs` is how long it waits for outcomes of the other channel. */
  writer(redis: RedisConnection, gatherMs?: number, onUncheckedServer: () => void = () => {}): OutcomeWriter {
    const sleep = (ms: number, signal?: AbortSignal) => systemClock.sleep(gatherMs ?? ms, signal);
    return new OutcomeWriter({
      postgres: this.pool,
      redis,
      clock: { ...systemClock, sleep },
      onUncheckedServer,
    });
  }

  /** Does what the service does at its start and after a restart of Redis; resolves with the losses found. */
  async checkRedis(): Promise<readonly Loss[]> {
    const redis = await this.connection();
    const losses: Loss[] = [];
    const streams = Object.values(STREAMS);
    await checkRedisServer({ redis, postgres: this.pool, streams, onLoss: (loss) => void losses.push(loss) });
    return losses;
  }

  /** Appends an intent and returns its entry id. */
  async addIntent(changes: IntentFields = {}, id = "*"): Promise<string> {
    const fields = Object.entries(validIntent(changes)).filter(([, value]) => value !== undefined);
    return await this.redis.xadd(INTENTS, id, ...fields.flat() as string[]) as string;
  }

  /** Ends every claim: the routes are due. */
  async endClaims(): Promise<void> {
    await this.query("UPDATE notification.routes SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL");
  }

  /**
   * Makes every transaction that writes outcomes fail at its COMMIT, as in a crash of PostgreSQL, until the returned
   * function is called.
   */
  async failWriting(): Promise<() => Promise<void>> {
    await this.query(`
      CREATE FUNCTION notification.fail() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'crash' USING ERRCODE = '57P02'; END $$`);
    await this.query(`
      CREATE CONSTRAINT TRIGGER fail AFTER UPDATE OF status ON notification.routes
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION notification.fail()`);
    return async () => void await this.query("DROP TRIGGER fail ON notification.routes");
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(sql, values)).rows;
  }

  /** One column of one row, as text. */
  async value(sql: string, values: unknown[] = []): Promise<string | undefined> {
    const [row] = await this.query<Record<string, unknown>>(sql, values);
    return row === undefined ? undefined : String(Object.values(row)[0]);
  }

  /** The `event_id` or `delivery_id` of every outbound entry. */
  async delivered(channel: Channel): Promise<string[]> {
    const entries = await this.redis.xrange(STREAMS[channel], "-", "+");
    const name = channel === "push" ? "event_id" : "delivery_id";
    return entries.map(([, fields]) => fields[fields.indexOf(name) + 1]!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await closeRedis(this.redis);
    await this.pool.end();
    await this.users.stop();
    await removeDatabase(this.#dsn);
  }
}

/** A clock that a test moves. */
export class TestClock implements Clock {
  ms = Date.now();
  now(): number {
    return this.ms;
  }
  monotonic(): number {
    return this.ms;
  }
  random(): number {
    return 0.5;
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}
