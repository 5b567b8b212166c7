/**
 * An offset: the row in `stream_offsets`, and its public copy, a hash in Redis. For the intent stream it is the last
 * entry that has its outcome; for an outbound stream it is the highest entry that is written as published, with the
 * number of commits that have written entries.
 *
 * The row of the intent stream is compared and set in the transaction that accepts a batch, so that a consumer which
 * read from an older offset changes nothing. The copy is set after the commit, only forward, and only on the server
 * from which the entries were read or to which they were appended: so it survives a loss together with the entries
 * before it. docs/contract.md, sections 6 and 11.
 */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { isEntryId } from "../redis/entry_ids.ts";
import { streamOffsetKey } from "../redis/keys.ts";

export interface Offset {
  /** `0-0` before the first entry. */
  readonly entryId: string;
  /**
   * The ordinal of the entry among all that were ever added, or for an outbound stream the number of commits;
   * `undefined` while unknown.
   */
  readonly entriesRead: number | undefined;
}

/**
 * After PostgreSQL has lost commits, the leases of an outbound stream are rebuilt from this long before the row's entry
 * on, because outcomes are not written in the order of their entries.
 */
export const REBUILD_MARGIN_MS = 60_000;

type Queryable = Pick<pg.ClientBase, "query">;

/** A row of `stream_offsets`. */
export interface OffsetRow extends Offset {
  /** The epoch of the Redis server with which the row was last compared; empty if it never was. */
  readonly epoch: string;
}

export async function selectOffset(postgres: Queryable, stream: string): Promise<OffsetRow | undefined> {
  const { rows } = await postgres.query<{ entry_id: string; entries_read: string | null; epoch: string }>(
    "SELECT entry_id, entries_read, coalesce(redis_epoch, '') AS epoch FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { entry_id: entryId, entries_read, epoch } = row;
  return { entryId, entriesRead: entries_read === null ? undefined : Number(entries_read), epoch };
}

/** SQL condition: the entry id `left` comes before `right`. */
export function isBeforeSql(left: string, right: string): string {
  return `string_to_array(${left}, '-')::numeric[] < string_to_array(${right}, '-')::numeric[]`;
}

/** As a time: the year 2100, which ids that are no times may be beyond. */
const MAX_ENTRY_TIME_MS = 4_102_444_800_000;

/**
 * SQL for `updated_at` after a row was set from one entry to another: a time by which the entry at the offset had its
 * outcome. Unchanged where the entry is; where the row is set back, the entry's own time.
 */
function outcomeSinceSql(from: string, to: string): string {
  return `CASE WHEN ${isBeforeSql(from, to)} THEN now() WHEN ${from} = ${to} THEN known.updated_at
    ELSE least(known.updated_at, to_timestamp(least(split_part(${to}, '-', 1)::numeric, ${MAX_ENTRY_TIME_MS}) / 1000))
    END`;
}

export interface OffsetMove {
  readonly stream: string;
  /**
   * If an epoch is given, the row must still have it. Otherwise another consumer has compared the row with another server
   * since the read.
   */
  readonly from: Offset & { readonly epoch?: string };
  readonly to: Offset;
  /** Whether the ordinal, too, must still be the one that was read: needed when only the ordinal is changed. */
  readonly isOrdinalCompared?: boolean;
}

/** The parameters of {@link moveOffsetSql}. */
export const OFFSET_MOVE = {
  stream: "text",
  to_id: "text",
  to_ordinal: "bigint",
  from_id: "text",
  from_ordinal: "bigint",
  from_epoch: "text",
} as const;

export function offsetMoveValues({ stream, from, to, isOrdinalCompared = false }: OffsetMove) {
  return {
    stream,
    to_id: to.entryId,
    to_ordinal: to.entriesRead ?? null,
    from_id: from.entryId,
    from_ordinal: isOrdinalCompared ? from.entriesRead ?? null : null,
    from_epoch: from.epoch ?? null,
  };
}

/**
 * Sets the offset if it still is `from`, or if there is no row; returns a row if it did. It belongs into the
 * transaction that gives the entries in between their outcomes.
 */
export function moveOffsetSql(p: Readonly<Record<keyof typeof OFFSET_MOVE, string>>, condition: string): string {
  return `
  INSERT INTO notification.stream_offsets AS known (stream, entry_id, entries_read, redis_epoch, updated_at)
  SELECT ${p.stream}, ${p.to_id}, ${p.to_ordinal}, ${p.from_epoch}, now() WHERE ${condition}
  ON CONFLICT (stream) DO UPDATE
  SET entry_id = excluded.entry_id, entries_read = excluded.entries_read,
    updated_at = ${outcomeSinceSql("known.entry_id", "excluded.entry_id")}
  WHERE known.entry_id = ${p.from_id} AND (${p.from_ordinal} IS NULL OR known.entries_read = ${p.from_ordinal})
    AND (${p.from_epoch} IS NULL OR known.redis_epoch = ${p.from_epoch})
  RETURNING entry_id`;
}

const MOVE_OFFSET = statement({ name: "move_offset", takes: OFFSET_MOVE }, (p) => moveOffsetSql(p, "true"));

/** Moves the offset without accepting anything; `false` if another consumer has moved it. */
export async function moveOffset(client: Queryable, move: OffsetMove): Promise<boolean> {
  const { rowCount } = await client.query(MOVE_OFFSET(offsetMoveValues(move)));
  return rowCount === 1;
}

const COMPARED = statement(
  {
    name: "offset_compared",
    takes: { stream: "text", from_id: "text", to_id: "text", to_ordinal: "bigint", epoch: "text" },
  },
  (p) => `
UPDATE notification.stream_offsets AS known
SET redis_epoch = ${p.epoch}, entry_id = ${p.to_id}, entries_read = ${p.to_ordinal},
  updated_at = ${outcomeSinceSql("known.entry_id", p.to_id)}
WHERE stream = ${p.stream} AND entry_id = ${p.from_id}`,
);

/**
 * Writes that the row was compared with a server of this epoch, and sets it to `to`; `false` if another consumer has
 * moved it.
 */
export async function offsetCompared(
  client: Queryable,
  { stream, from, to, epoch }: {
    readonly stream: string;
    readonly from: Offset;
    readonly to: Offset;
    readonly epoch: string;
  },
): Promise<boolean> {
  const values = { stream, from_id: from.entryId, to_id: to.entryId, to_ordinal: to.entriesRead ?? null, epoch };
  return (await client.query(COMPARED(values))).rowCount === 1;
}

/** The copy of an offset, as Redis returns it. */
export interface Copy {
  readonly offset: Offset | undefined;
  /** The server's epoch. */
  readonly epoch: string;
  /** The server's clock, Unix milliseconds. */
  readonly timeMs: number;
}

// A key of another type under the copy's name counts as no copy.
const READ_COPY = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local copy = redis.pcall('HMGET', KEYS[1], 'entry_id', 'entries_read')
if copy.err then
  if string.sub(copy.err, 1, 9) ~= 'WRONGTYPE' then return copy end
  copy = {}
end
local time = redis.call('TIME')
return { server_epoch(), time[1] * 1000 + math.floor(time[2] / 1000), copy[1] or '', copy[2] or '' }
`);

export async function readCopy(redis: RedisConnection, stream: string): Promise<Copy> {
  const reply = await redis.run(READ_COPY, [streamOffsetKey(stream)], []) as [string, number, string, string];
  const [epoch, timeMs, entryId, entriesRead] = reply;
  if (!isEntryId(entryId)) return { offset: undefined, epoch, timeMs };
  return {
    offset: { entryId, entriesRead: /^\d{1,15}$/.test(entriesRead) ? Number(entriesRead) : undefined },
    epoch,
    timeMs,
  };
}

/**
 * Lua: sets a copy unless it is already further. Ids are compared as two numerals each: the longer numeral is the
 * larger.
 */
export const COPY_FORWARD_LUA = `
local function order(a, b)
  if #a ~= #b then return #a - #b end
  if a == b then return 0 end
  return a < b and -1 or 1
end
local function copy_forward(key, id, ordinal)
  local known = redis.call('HGET', key, 'entry_id')
  if known then
    local known_time, known_sequence = string.match(known, '^(%d+)-(%d+)$')
    local time, sequence = string.match(id, '^(%d+)-(%d+)$')
    if known_time then
      local times = order(time, known_time)
      if times == 0 then times = order(sequence, known_sequence) end
      if times < 0 then return end
      local known_ordinal = tonumber(redis.call('HGET', key, 'entries_read'))
      if times == 0 and known_ordinal and tonumber(ordinal) and tonumber(ordinal) < known_ordinal then return end
    end
  end
  redis.call('HSET', key, 'entry_id', id, 'entries_read', ordinal)
end`;

const COPY_FORWARD = new Script(`${SERVER_EPOCH_LUA}${COPY_FORWARD_LUA}
if server_epoch() == ARGV[1] then copy_forward(KEYS[1], ARGV[2], ARGV[3]) end
`);

export interface CopyOptions {
  readonly stream: string;
  /** The epoch of the server that has the entries: on another server the copy is not set. */
  readonly epoch: string;
}

/** Copies a committed offset to Redis, unless the copy is already further. */
export async function copyOffset(
  redis: RedisConnection,
  { entryId, entriesRead }: Offset,
  { stream, epoch }: CopyOptions,
): Promise<void> {
  await redis.run(COPY_FORWARD, [streamOffsetKey(stream)], [epoch, entryId, entriesRead ?? ""]);
}

const REPLACE = new Script(`${SERVER_EPOCH_LUA}
if server_epoch() == ARGV[1] then redis.call('HSET', KEYS[1], 'entry_id', ARGV[2], 'entries_read', ARGV[3]) end
`);

/** Replaces the copy, also backwards, because the stream is another one now. */
export async function replaceCopy(
  redis: RedisConnection,
  { entryId, entriesRead }: Offset,
  { stream, epoch }: CopyOptions,
): Promise<void> {
  await redis.run(REPLACE, [streamOffsetKey(stream)], [epoch, entryId, entriesRead ?? ""]);
}
