/**
 * BENCH_REDIS_ADDR, BENCH_REDIS_PASSWORD, BENCH_POSTGRES_DSN, and intents made by `fill.ts` → the same rows and
 * outbound entries that the service would write. Prints `ready`, then runs until SIGTERM. The floor is the least work
 * that the design allows. It uses the same libraries, schema and steps: read, insert routes that are already claimed,
 * hand them off from memory by a script with leases, write the outcomes of both channels, shorten the leases. It has no
 * checks, no look-ups, no log, no consumer lease, and does not claim due routes.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { Redis } from "ioredis";
import { notificationId } from "../../src/notification/identity.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { INTENTS, OUTBOUND } from "./fill.ts";
import { HAND_OFF, INSERT, SHORTEN_LEASES, WRITE_OUTCOMES } from "./floor_statements.ts";

/** `fields` contains names and values alternately. */
type Entry = [id: string, fields: string[]];

interface Intent {
  readonly id: string;
  readonly entryId: string;
  readonly type: string;
  readonly producer: string;
  readonly recipients: string;
  readonly user: string;
  readonly key: string;
  readonly occurredAtMs: string;
  readonly payload: string;
  readonly requestId: string;
}

const BATCH = 1000;
const ROUTES_PER_CALL = 100;
/** At most this many batches may be handed off but not yet written; the service has the same limit. */
const MAX_UNWRITTEN = 2;
const IDLE_MS = 1000;
/** The intents of `fill.ts` do not contain this character. */
const SEPARATOR = "\x1f";

if (import.meta.main) {
  const dsn = Deno.env.get("BENCH_POSTGRES_DSN")!;
  const pool = new pg.Pool({ connectionString: dsn });
  await migrate(pool, { lockTimeoutMs: 10_000 });
  await pool.end();
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  const redis = openRedis();
  const load = async (script: string) => await redis.script("LOAD", script) as string;
  const publisher: Publisher = {
    redis,
    client: await openPostgres(dsn),
    scripts: {
      push: await load(HAND_OFF.push),
      email: await load(HAND_OFF.email),
      shortenLeases: await load(SHORTEN_LEASES),
    },
  };
  const client = await openPostgres(dsn);
  console.log("ready");
  await acceptAndPublish(client, { reader: openRedis(), publisher });
}

/** Reads and inserts the next batch while the previous ones are handed off and written. */
async function acceptAndPublish(
  client: pg.Client,
  { reader, publisher }: { reader: Redis; publisher: Publisher },
): Promise<never> {
  const unwritten = new Set<Promise<void>>();
  let batch = read(reader, "0-0");
  for (;;) {
    const intents = (await batch).map(intentOf);
    batch = read(reader, intents.at(-1)!.entryId);
    const acceptedAtMs = await insert(client, intents);
    while (unwritten.size >= MAX_UNWRITTEN) await Promise.race(unwritten);
    const published = publish(publisher, { intents, acceptedAtMs }).finally(() => unwritten.delete(published));
    unwritten.add(published);
  }
}

async function read(redis: Redis, after: string): Promise<Entry[]> {
  for (;;) {
    const reply = await redis.call("XREAD", "COUNT", BATCH, "BLOCK", IDLE_MS, "STREAMS", INTENTS, after) as
      | [[string, Entry[]]]
      | null;
    if (reply !== null) return reply[0][1];
  }
}

/** Reads the fields by position, in the order of `fill.ts`. */
function intentOf([entryId, fields]: Entry): Intent {
  const [type, producer, , recipients, key, occurredAtMs, payload, requestId] = fields.filter((_, at) => at % 2 === 1);
  return {
    id: notificationId(entryId, producer!, key!),
    entryId,
    type: type!,
    producer: producer!,
    recipients: recipients!,
    user: recipients!.slice(2, -2),
    key: key!,
    occurredAtMs: occurredAtMs!,
    payload: payload!,
    requestId: requestId!,
  };
}

/** Returns the time of acceptance. */
async function insert(client: pg.Client, intents: readonly Intent[]): Promise<string> {
  const column = (name: keyof Intent) => intents.map((intent) => intent[name]).join(SEPARATOR);
  const { rows } = await client.query<string[]>({
    name: "insert",
    rowMode: "array",
    text: INSERT,
    values: [
      SEPARATOR,
      column("id"),
      column("entryId"),
      column("type"),
      column("producer"),
      column("recipients"),
      column("key"),
      column("occurredAtMs"),
      column("payload"),
      column("requestId"),
      intents.at(-1)!.entryId,
      intents.length,
    ],
  });
  return rows[0]![0]!;
}

interface Publisher {
  readonly redis: Redis;
  readonly client: pg.Client;
  /** The SHA-1 of each script. */
  readonly scripts: Readonly<Record<keyof typeof HAND_OFF | "shortenLeases", string>>;
}

interface Batch {
  readonly intents: readonly Intent[];
  readonly acceptedAtMs: string;
}

async function publish({ redis, client, scripts }: Publisher, { intents, acceptedAtMs }: Batch): Promise<void> {
  const [pushed, mailed] = await Promise.all([
    handOff(redis, { script: scripts.push, stream: OUTBOUND[0], intents, valuesOf: clientEvent }),
    handOff(redis, {
      script: scripts.email,
      stream: OUTBOUND[1],
      intents,
      valuesOf: (intent, values) => mailCommand(intent, { acceptedAtMs, values }),
    }),
  ]);
  const ids = intents.map(({ id }) => id).join(SEPARATOR);
  const users = intents.map(({ user }) => user).join(SEPARATOR);
  const values = [SEPARATOR, ids, users, pushed.join(SEPARATOR), mailed.join(SEPARATOR)];
  await client.query({ name: "write_outcomes", text: WRITE_OUTCOMES, values });
  await shortenLeases(redis, { script: scripts.shortenLeases, intents });
}

async function handOff(
  redis: Redis,
  { script, stream, intents, valuesOf }: {
    script: string;
    stream: string;
    intents: readonly Intent[];
    valuesOf: (intent: Intent, values: string[]) => void;
  },
): Promise<string[]> {
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < intents.length; at += ROUTES_PER_CALL) {
    const values: string[] = [];
    for (const intent of intents.slice(at, at + ROUTES_PER_CALL)) valuesOf(intent, values);
    calls.push(redis.evalsha(script, 1, stream, ...values));
  }
  return (await Promise.all(calls)).flat() as string[];
}

async function shortenLeases(
  redis: Redis,
  { script, intents }: { script: string; intents: readonly Intent[] },
): Promise<void> {
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < intents.length; at += ROUTES_PER_CALL) {
    const some = intents.slice(at, at + ROUTES_PER_CALL);
    calls.push(redis.evalsha(script, 0, ...some.flatMap((intent) => [pushId(intent), emailId(intent)])));
  }
  await Promise.all(calls);
}

function pushId({ id, user }: Intent): string {
  return `${id}/push:user:${user}`;
}

function emailId({ id, user }: Intent): string {
  return `${id}/email:user:${user}`;
}

function clientEvent(intent: Intent, values: string[]): void {
  const { user, type, payload, occurredAtMs, requestId } = intent;
  values.push(pushId(intent), user, type, payload, occurredAtMs, requestId);
}

function mailCommand(
  intent: Intent,
  { acceptedAtMs, values }: { acceptedAtMs: string; values: string[] },
): void {
  const { user, type, payload, requestId } = intent;
  values.push(
    emailId(intent),
    acceptedAtMs,
    `{"to": ["${user}@example.com"], "cc": [], "bcc": [], "reply_to": [], "attachments": [], "template_id": "${type}", ` +
      `"locale": "en", "variables": ${payload}}`,
    requestId,
  );
}

async function openPostgres(dsn: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: dsn, pipeline: true } as pg.ClientConfig);
  await client.connect();
  await client.query("SET enable_seqscan = off");
  await client.query("SET jit = off");
  return client;
}

function openRedis(): Redis {
  const [host, port] = Deno.env.get("BENCH_REDIS_ADDR")!.split(":");
  return new Redis({ host: host!, port: Number(port), password: Deno.env.get("BENCH_REDIS_PASSWORD")!, protocol: 2 });
}
