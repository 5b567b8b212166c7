/**
 * An entry id, a notification id or a key → the whole story of the intent: entry, outcome, record, routes with their
 * leases and outbound entries. Only reads.
 */
import type pg from "pg";
import { backlogReader } from "../backlog/backlog.ts";
import type { Config } from "../config/config.ts";
import { compareEntryIds, isEntryId } from "../redis/entry_ids.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { RedisError } from "../redis/failures.ts";
import { COMMAND_EXIT, CommandFailed, usageError } from "./command.ts";
import { idsOfMillisecond } from "./notification_ids.ts";
import type { Stores } from "./stores.ts";
import { type WaitsFor, waitsForOf } from "./waits_for.ts";

export interface Story {
  /** `waiting`: after the offset; `duplicate`: passed over without a row of its own; `unknown`: no trace. */
  readonly outcome: "accepted" | "malformed" | "duplicate" | "waiting" | "unknown";
  /** The entry in the intent stream; null if it does not exist there (any more), or is not known. */
  readonly entry: { readonly id: string; readonly fields: Readonly<Record<string, string>> } | null;
  readonly record: StoryRecord | null;
  readonly malformed: MalformedIntent | null;
  readonly routes: readonly StoryRoute[];
  /** How many routes the record has. */
  readonly route_count: number;
  /** What a waiting entry waits for while intake can't continue, either itself or an entry before it. */
  readonly waits_for: WaitsFor | null;
}

interface StoryRecord {
  readonly notification_id: string;
  readonly notification_type: string;
  readonly producer: string;
  readonly audience_kind: string;
  readonly idempotency_key: string;
  readonly stream: string;
  readonly stream_entry_id: string;
  readonly request_id: string | null;
  readonly trace_id: string | null;
  readonly payload: string;
  readonly occurred_at: Date;
  readonly accepted_at: Date;
}

interface MalformedIntent {
  readonly stream: string;
  readonly stream_entry_id: string;
  /** As far as it could be read. */
  readonly notification_type: string | null;
  readonly producer: string | null;
  readonly idempotency_key: string | null;
  readonly failure_code: string;
  readonly failure_message: string;
  readonly raw_fields: unknown;
  readonly recorded_at: Date;
}

export interface StoryRoute {
  readonly route_id: string;
  readonly channel: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly max_attempts: number;
  readonly next_attempt_at: Date | null;
  readonly last_error_classification: string | null;
  readonly last_error_message: string | null;
  readonly published_entry_id: string | null;
  readonly updated_at: Date;
  readonly lease: { readonly value: string; readonly ttl_ms: number } | null;
  /** Null if the entry is not (any more) in the outbound stream. */
  readonly outbound_entry: { readonly id: string; readonly fields: Readonly<Record<string, string>> } | null;
}

export interface StoryOptions {
  /** An entry id, a notification id, or `producer/key`. */
  readonly key: string;
  readonly config: Config;
  readonly limit: number;
}

export async function readStory(stores: Stores, { key, config, limit }: StoryOptions): Promise<Story> {
  const { stream } = config.intents;
  const { record, malformed, entry } = isEntryId(key)
    ? await findByEntry(stores, key, stream)
    : await findByName(stores, key);
  const base = { entry, record: record ?? null, malformed: malformed ?? null };
  if (record !== undefined) {
    const { rows } = await stores.postgres.query<{ count: string }>(
      "SELECT count(*) FROM notification.routes WHERE notification_id = $1",
      [record.notification_id],
    );
    const routes = await findRoutes(stores, record.notification_id, { config, limit });
    return { outcome: "accepted", ...base, routes, route_count: Number(rows[0]!.count), waits_for: null };
  }
  const outcome = malformed !== undefined
    ? "malformed"
    : entry === null
    ? "unknown"
    : await isBehindPlace(stores.postgres, stream, entry.id)
    ? "waiting"
    : "duplicate";
  const backlog = outcome === "waiting"
    ? await askFor(`the next entry of ${stream}`, () => backlogReader({ ...stores, stream }).intents())
    : undefined;
  return { outcome, ...base, routes: [], route_count: 0, waits_for: waitsForOf(backlog) };
}

interface Found {
  readonly record?: StoryRecord | undefined;
  readonly malformed?: MalformedIntent | undefined;
  readonly entry: Story["entry"];
}

/** Streams may share the tables and have the same ids: what is known about the entry of `stream` comes first. */
async function findByEntry({ postgres, redis }: Stores, id: string, stream: string): Promise<Found> {
  const own = await askFor(`the entry ${id} of ${stream}`, () => findEntry(redis, stream, id));
  // The primary key finds the record; a query by the entry id alone would read every record.
  const [first, last] = idsOfMillisecond(BigInt(id.split("-")[0]!));
  const among = [id, stream];
  const findIn = async (streams: string): Promise<Found | undefined> => {
    const inMillisecond = `${streams} AND stream_entry_id = $1 AND notification_id BETWEEN $3 AND $4`;
    const record = await findRecord(postgres, inMillisecond, [...among, first, last]);
    const malformed = record === undefined
      ? await findMalformed(postgres, `${streams} AND stream_entry_id = $1`, among)
      : undefined;
    const found = record ?? malformed;
    return found &&
      { record, malformed, entry: found.stream === stream ? own : await findEntry(redis, found.stream, id) };
  };
  const found = await findIn("stream = $2");
  if (found !== undefined) return found;
  if (own !== null) return { entry: own };
  return await findIn("stream IN (SELECT stream FROM notification.stream_offsets WHERE stream <> $2)") ??
    { entry: null };
}

/**
 * For an entry of the intent stream, or the next one. @throws CommandFailed that names it if Redis does not return it
 * in time
 */
async function askFor<Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof RedisError && error.code === "")) throw error;
    throw new CommandFailed(
      COMMAND_EXIT.dependency,
      `Redis does not return ${what} in time: ${error.message}\n` +
        "If the entry is too large and has no outcome yet, intake waits for it too: set-aside is the way past it",
    );
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A notification id, or producer/key: of several malformed intents with this key the last one. */
async function findByName({ postgres, redis }: Stores, key: string): Promise<Found> {
  const slash = key.indexOf("/");
  const isNotification = UUID.test(key);
  if (!isNotification && slash < 1) {
    throw usageError(`${JSON.stringify(key)} is not an entry id, a notification id or producer/key`);
  }
  const names = [key.slice(0, slash), key.slice(slash + 1)];
  const byNames = "producer = $1 AND idempotency_key = $2";
  const record = isNotification
    ? await findRecord(postgres, "notification_id = $1", [key])
    : await findRecord(postgres, byNames, names);
  const malformed = record === undefined && !isNotification ? await findMalformed(postgres, byNames, names) : undefined;
  const found = record ?? malformed;
  return {
    record,
    malformed,
    entry: found === undefined ? null : await findEntry(redis, found.stream, found.stream_entry_id),
  };
}

async function findRecord(postgres: pg.Pool, condition: string, values: string[]): Promise<StoryRecord | undefined> {
  const { rows } = await postgres.query<StoryRecord>(
    `SELECT notification_id, notification_type, producer, audience_kind, idempotency_key, stream,
       stream_entry_id, request_id, trace_id, payload::text AS payload, occurred_at, accepted_at
     FROM notification.records WHERE ${condition} LIMIT 1`,
    values,
  );
  return rows[0];
}

async function findMalformed(
  postgres: pg.Pool,
  condition: string,
  values: string[],
): Promise<MalformedIntent | undefined> {
  const { rows } = await postgres.query<MalformedIntent>(
    `SELECT * FROM notification.malformed_intents WHERE ${condition} ORDER BY recorded_at DESC LIMIT 1`,
    values,
  );
  return rows[0];
}

async function isBehindPlace(postgres: pg.Pool, stream: string, id: string): Promise<boolean> {
  const { rows } = await postgres.query<{ entry_id: string }>(
    "SELECT entry_id FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  return rows[0] === undefined || compareEntryIds(id, rows[0].entry_id) > 0;
}

async function findEntry(redis: RedisConnection, stream: string, id: string): Promise<Story["entry"]> {
  if (await redis.call("TYPE", stream) !== "stream") return null;
  const [found] = await redis.call("XRANGE", stream, id, id) as [string, string[]][];
  if (found === undefined) return null;
  const [, values] = found;
  // Of a repeated name the first value is shown; `inspect malformed --json` shows all.
  const fields: Record<string, string> = { __proto__: null } as unknown as Record<string, string>;
  for (let at = 0; at + 1 < values.length; at += 2) fields[values[at]!] ??= values[at + 1]!;
  return { id, fields };
}

async function findRoutes(
  { postgres, redis }: Stores,
  notificationId: string,
  { config, limit }: { config: Config; limit: number },
): Promise<StoryRoute[]> {
  const { rows } = await postgres.query<Omit<StoryRoute, "lease" | "outbound_entry">>(
    `SELECT route_id, channel, status, attempt_count, max_attempts, next_attempt_at, last_error_classification,
       last_error_message, published_entry_id, updated_at
     FROM notification.routes WHERE notification_id = $1 ORDER BY route_id LIMIT $2`,
    [notificationId, limit],
  );
  const { clientEventsStream, mailCommandsStream } = config.publish;
  return await Promise.all(rows.map(async (route) => {
    const key = routeLeaseKey(notificationId, route.route_id);
    const stream = route.channel === "push" ? clientEventsStream : mailCommandsStream;
    const [value, ttl] = await Promise.all([redis.call("GET", key), redis.call("PTTL", key)]);
    return {
      ...route,
      lease: typeof value === "string" ? { value, ttl_ms: Number(ttl) } : null,
      outbound_entry: route.published_entry_id === null
        ? null
        : await findEntry(redis, stream, route.published_entry_id),
    };
  }));
}
