// In: BENCH_REDIS_ADDR, BENCH_REDIS_PASSWORD, BENCH_POSTGRES_DSN; intents as fill.ts writes them. Out: the rows and the
// outbound entries that the service would write. Prints `ready`, runs until SIGTERM.
// This is the limit that the design leaves: the same libraries, schema and steps (read, insert, claim by row lock, hand off
// by a script with leases, record), and nothing else: no check of anything, no look-up, no log, no lease of the consumer.

// @ts-types="@types/pg"
import pg from "pg";
import { Redis } from "ioredis";
import { Wake } from "../../src/relay/wake.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { routeLeaseKey } from "../../src/redis/keys.ts";
import { INTENTS, OUTBOUND } from "./fill.ts";
import { CLAIM, HAND_OFF, INSERT, RECORD } from "./floor_statements.ts";

type Channel = "push" | "email";
/** Fields are names and values in turn. */
type Entry = [id: string, fields: string[]];

const BATCH = 500;
const ROUTES_A_CALL = 100;
const IDLE_MS = 1000;
/** No intent of fill.ts holds it. */
const SEPARATOR = "\x1f";
/** Positions of the values in an entry of fill.ts. */
const INSERTED_FIELDS = [1, 3, 7, 9, 11, 13, 15];
/** Position of the row's place in a row of the claim. */
const PLACE = 10;

if (import.meta.main) {
  const dsn = Deno.env.get("BENCH_POSTGRES_DSN")!;
  const pool = new pg.Pool({ connectionString: dsn });
  await migrate(pool, { lockTimeoutMs: 10_000 });
  await pool.end();
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  const wakes = { push: new Wake(), email: new Wake() };
  const lane = async (channel: Channel): Promise<Lane> => {
    return { channel, client: await openPostgres(dsn), redis: openRedis(), wake: wakes[channel] };
  };
  const [client, push, email] = [await openPostgres(dsn), await lane("push"), await lane("email")];
  console.log("ready");
  const onInserted = () => Object.values(wakes).forEach((wake) => wake.ring());
  await Promise.all([readAndInsert(client, openRedis(), onInserted), publish(push), publish(email)]);
}

/** The next batch is read while this one is inserted. */
async function readAndInsert(client: pg.Client, redis: Redis, onInserted: () => void): Promise<never> {
  let batch = read(redis, "0-0");
  for (;;) {
    const entries = await batch;
    const place = entries.at(-1)![0];
    batch = read(redis, place);
    await insert(client, entries);
    onInserted();
  }
}

async function read(redis: Redis, place: string): Promise<Entry[]> {
  for (;;) {
    const reply = await redis.call("XREAD", "COUNT", BATCH, "BLOCK", IDLE_MS, "STREAMS", INTENTS, place) as
      | [[string, Entry[]]]
      | null;
    if (reply !== null) return reply[0][1];
  }
}

async function insert(client: pg.Client, entries: readonly Entry[]): Promise<void> {
  const column = (at: number) => entries.map(([, fields]) => fields[at]).join(SEPARATOR);
  const ids = entries.map(([id]) => id).join(SEPARATOR);
  await client.query({
    name: "insert",
    text: INSERT,
    values: [SEPARATOR, ids, ...INSERTED_FIELDS.map(column), entries.at(-1)![0], entries.length],
  });
}

interface Lane {
  readonly channel: Channel;
  readonly client: pg.Client;
  readonly redis: Redis;
  /** Rung when routes were inserted. */
  readonly wake: Wake;
}

async function publish(lane: Lane): Promise<never> {
  const never = new AbortController().signal;
  const scriptSha = await lane.redis.script("LOAD", HAND_OFF) as string;
  for (;;) {
    if (await publishBatch(lane, scriptSha) < BATCH) await lane.wake.wait(IDLE_MS, never);
  }
}

/** Returns how many routes it published. */
async function publishBatch({ channel, client, redis }: Lane, scriptSha: string): Promise<number> {
  void client.query("BEGIN");
  const claim = { name: "claim", rowMode: "array" as const, text: CLAIM, values: [channel, BATCH] };
  const { rows } = await client.query<string[]>(claim);
  if (rows.length > 0) {
    const entryIds = await handOff(redis, { channel, rows, scriptSha });
    const places = rows.map((row) => row[PLACE]);
    const values = [SEPARATOR, places.join(SEPARATOR), entryIds.join(SEPARATOR)];
    void client.query({ name: "record", text: RECORD, values });
  }
  await client.query("COMMIT");
  return rows.length;
}

async function handOff(
  redis: Redis,
  { channel, rows, scriptSha }: { channel: Channel; rows: readonly string[][]; scriptSha: string },
): Promise<string[]> {
  const [stream, fieldsOf] = channel === "push" ? [OUTBOUND[0], clientEvent] : [OUTBOUND[1], mailCommand];
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < rows.length; at += ROUTES_A_CALL) {
    const keys: string[] = [stream];
    const fields: string[] = [];
    const some = rows.slice(at, at + ROUTES_A_CALL);
    for (const row of some) {
      keys.push(routeLeaseKey(row[0]!, row[1]!));
      fieldsOf(row, fields);
    }
    calls.push(redis.evalsha(scriptSha, keys.length, ...keys, fields.length / some.length, ...fields));
  }
  return (await Promise.all(calls)).flat() as string[];
}

function clientEvent([id, routeId, user, , , type, payload, occurredAtMs, requestId]: string[], fields: string[]) {
  fields.push("user_id", user!, "event_type", type!, "event_id", `${id}/${routeId}`, "payload_bytes", payload!);
  fields.push("occurred_at_ms", occurredAtMs!, "request_id", requestId!);
}

function mailCommand(row: string[], fields: string[]) {
  const [id, routeId, , email, locale, type, payload, , requestId, acceptedAtMs] = row;
  fields.push("delivery_id", `${id}/${routeId}`, "source", "notification", "payload_mode", "template");
  fields.push("idempotency_key", `notification:${id}/${routeId}`, "requested_at_ms", acceptedAtMs!, "payload_json");
  fields.push(
    `{"to": ["${email}"], "cc": [], "bcc": [], "reply_to": [], "attachments": [], "template_id": "${type}", ` +
      `"locale": "${locale}", "variables": ${payload}}`,
    "request_id",
    requestId!,
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
