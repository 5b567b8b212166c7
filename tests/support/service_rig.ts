/**
 * The addresses of a Redis, a PostgreSQL and a stand-in User Service → clients for all of them, and one or several
 * instances of the real service.
 *
 * An instance gets the variables of `env` and a probe address of its own; disposing of the rig ends every instance and
 * closes every connection.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { Buffer } from "node:buffer";
import type { Redis } from "ioredis";
import { freePort } from "../../scripts/servers/free_port.ts";
import { hang, type UserService } from "../../scripts/servers/user_service.ts";
import { type IntentFields, validIntent } from "./intents.ts";
import { closeRedis, openRedis, type RedisAddress } from "./redis_client.ts";
import { type Environment, type ServiceOptions, type ServiceProcess, startService } from "./service_process.ts";
import { eventually } from "./wait.ts";

export interface Surroundings {
  readonly keySpace: RedisAddress;
  readonly dsn: string;
  readonly users: UserService;
  /** Environment variables in addition to those for these three; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called at the end of the rig's disposal. */
  readonly afterwards?: () => Promise<void>;
}

export interface OutboundEntry {
  readonly entryId: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface ClientEvent extends OutboundEntry {
  /** `payload_bytes`, parsed. */
  readonly payload: unknown;
}

export interface MailCommand extends OutboundEntry {
  /** `payload_json`, parsed. */
  readonly payload: {
    readonly to: readonly string[];
    readonly template_id: string;
    readonly locale: string;
    readonly variables: unknown;
    readonly [member: string]: unknown;
  };
}

export async function openRigOn(surroundings: Surroundings): Promise<Rig> {
  return new Rig(surroundings, await openRedis(surroundings.keySpace));
}

export class Rig implements AsyncDisposable {
  /** The variables of an instance, except the probe's address, which differs for each. */
  readonly env: Environment;
  readonly dsn: string;
  readonly keySpace: RedisAddress;
  readonly users: UserService;
  readonly redis: Redis;
  readonly pool: pg.Pool;
  /** Every instance that was started so far, including those that have ended. */
  readonly instances: ServiceProcess[] = [];
  readonly #afterwards: () => Promise<void>;

  constructor({ keySpace, dsn, users, env, afterwards }: Surroundings, redis: Redis) {
    this.env = definedOnly({
      NOTIFICATION_REDIS_MASTER_ADDR: `${keySpace.host}:${keySpace.port}`,
      NOTIFICATION_REDIS_PASSWORD: keySpace.password,
      NOTIFICATION_REDIS_DB: String(keySpace.db ?? 0),
      NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn,
      NOTIFICATION_USER_SERVICE_BASE_URL: users.baseUrl,
      ...env,
    });
    this.dsn = dsn;
    this.keySpace = keySpace;
    this.users = users;
    this.redis = redis;
    this.pool = new pg.Pool({ connectionString: dsn, max: 4 });
    this.pool.on("error", () => {}); // an idle connection broke, as tests of outages intend
    this.#afterwards = afterwards ?? (() => Promise.resolve());
  }

  /** Starts an instance and returns at once. */
  async spawn(env: Environment = {}, options: ServiceOptions = {}): Promise<ServiceProcess> {
    const probe = { NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${freePort()}` };
    const instance = await startService({ ...probe, ...this.env, ...env }, options);
    this.instances.push(instance);
    return instance;
  }

  /** Starts an instance and returns when it is ready. */
  async start(env: Environment = {}): Promise<ServiceProcess> {
    return await (await this.spawn(env)).ready();
  }

  /** Adds an intent, and resolves once the service waits for its look-up, which gets no answer. */
  async addHangingIntent(): Promise<void> {
    this.users.behaviour = () => hang();
    await this.addIntent();
    await eventually(() => this.users.inFlight.now > 0);
  }

  /** Adds a valid intent with these changes (see `validIntent`) and returns its entry id. */
  async addIntent(changes: IntentFields = {}): Promise<string> {
    const fields = Object.entries(validIntent(changes));
    return await this.addEntry(fields.flatMap(([name, value]) => value === undefined ? [] : [[name, value]]));
  }

  /** Adds an entry with any fields to the intent stream and returns its id. */
  async addEntry(fields: readonly (readonly [string | Uint8Array, string | Uint8Array])[]): Promise<string> {
    const id = await this.redis.xadd(this.intentsStream, "*", ...fields.flat().map((value) => Buffer.from(value)));
    if (id === null) throw new Error("XADD added nothing");
    return id;
  }

  async clientEvents(): Promise<ClientEvent[]> {
    const stream = this.env["NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM"] ?? "gateway:client-events";
    const entries = await this.#entries(stream);
    return entries.map((entry) => ({ ...entry, payload: JSON.parse(entry.fields["payload_bytes"] ?? "null") }));
  }

  async mailCommands(): Promise<MailCommand[]> {
    const stream = this.env["NOTIFICATION_MAIL_DELIVERY_COMMANDS_STREAM"] ?? "mail:delivery_commands";
    const entries = await this.#entries(stream);
    return entries.map((entry) => ({ ...entry, payload: JSON.parse(entry.fields["payload_json"] ?? "null") }));
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(sql, [...values])).rows;
  }

  /**
   * Waits until every entry of the intent stream has its outcome and every route is terminal; throws if there is no
   * progress for `timeoutMs`.
   */
  async settled({ timeoutMs = 30_000 } = {}): Promise<void> {
    let left = "";
    await eventually(async () => {
      const [last] = await this.redis.xrevrange(this.intentsStream, "+", "-", "COUNT", 1);
      const [found] = await this.query<{ offset: string | null; live: number }>(
        `SELECT (SELECT entry_id FROM notification.stream_offsets WHERE stream = $1) AS offset,
                (SELECT count(*)::int FROM notification.routes WHERE status IN ('pending', 'failed')) AS live`,
        [this.intentsStream],
      );
      left = `offset ${found?.offset}, ${found?.live} live routes`;
      return (last === undefined || found?.offset === last[0]) && found?.live === 0;
    }, { timeoutMs, progress: () => left, message: () => `${left} were left over\n${this.#outputs()}\n` });
  }

  get intentsStream(): string {
    return this.env["NOTIFICATION_INTENTS_STREAM"] ?? "notification:intents";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.kill()));
    await Promise.all([this.pool.end(), closeRedis(this.redis), this.users[Symbol.asyncDispose]()]);
    await this.#afterwards();
  }

  async #entries(stream: string): Promise<OutboundEntry[]> {
    const entries = await this.redis.xrange(stream, "-", "+");
    return entries.map(([entryId, values]) => {
      const fields: Record<string, string> = {};
      for (let index = 0; index < values.length; index += 2) fields[values[index] ?? ""] = values[index + 1] ?? "";
      return { entryId, fields };
    });
  }

  #outputs(): string {
    return this.instances.map((instance) => instance.output()).join("\n\n");
  }
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Environment {
  return Object.fromEntries(Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
