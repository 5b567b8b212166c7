/**
 * How far a stream is dealt with: the row in `stream_offsets`, and its public copy, a hash in Redis. For the intent stream, the last
 * entry that has its outcome; for an outbound stream, the highest entry that is written as published.
 *
 * The row of the intent stream is compared and set in the transaction that accepts a batch, so that a consumer which read from an
 * older offset changes nothing. A copy follows after the commit, forward only, and only on the server that the entries were read
 * from or appended to: so it survives a loss together with the entries before it. Contract, sections 6 and 11.
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
  /** Its ordinal among all entries ever added; absent while that is not known. */
  readonly entriesRead: number | undefined;
}

type Queryable = Pick<pg.ClientBase, "query">;

export async function selectOffset(postgres: Queryable, stream: string): Promise<Offset | undefined> {
  const { rows } = await postgres.query<{ entry_id: string; entries_read: string | null }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  const [row] = rows;
  return row &&
    { entryId: row.entry_id, entriesRead: row.entries_read === null ? undefined : Number(row.entries_read) };
}

/** SQL for "the entry id `left` comes before `right`". */
export function isBehindSql(left: string, right: string): string {
  return `string_to_array(${left}, '-')::numeric[] < string_to_array(${right}, '-')::numeric[]`;
}

export interface OffsetMove {
  readonly stream: string;
  readonly from: Offset;
  readonly to: Offset;
  /** Whether the ordinal, too, must be the one that was read: where nothing else is set. */
  readonly isOrdinalCompared?: boolean;
}

/** What {@link moveOffsetSql} takes. */
export const OFFSET_MOVE = {
  stream: "text",
  to_id: "text",
  to_ordinal: "bigint",
  from_id: "text",
  from_ordinal: "bigint",
} as const;

export function offsetMoveValues({ stream, from, to, isOrdinalCompared = false }: OffsetMove) {
  return {
    stream,
    to_id: to.entryId,
    to_ordinal: to.entriesRead ?? null,
    from_id: from.entryId,
    from_ordinal: isOrdinalCompared ? from.entriesRead ?? null : null,
  };
}

/**
 * Sets the offset if it still is the one that was read from, or if there is no row; returns a row if it did. For the
 * transaction that gives the entries in between their outcomes.
 */
export function moveOffsetSql(p: Readonly<Record<keyof typeof OFFSET_MOVE, string>>, condition: string): string {
  return `
  INSERT INTO notification.stream_offsets AS known (stream, entry_id, entries_read, updated_at)
  SELECT ${p.stream}, ${p.to_id}, ${p.to_ordinal}, now() WHERE ${condition}
  ON CONFLICT (stream) DO UPDATE
  SET entry_id = excluded.entry_id, entries_read = excluded.entries_read, updated_at = excluded.updated_at
  WHERE known.entry_id = ${p.from_id} AND (${p.from_ordinal} IS NULL OR known.entries_read = ${p.from_ordinal})
  RETURNING entry_id`;
}

const MOVE_OFFSET = statement({ name: "move_offset", takes: OFFSET_MOVE }, (p) => moveOffsetSql(p, "true"));

/** Moves the offset by itself; `false` if another consumer has moved it. */
export async function moveOffset(client: Queryable, move: OffsetMove): Promise<boolean> {
  const { rowCount } = await client.query(MOVE_OFFSET(offsetMoveValues(move)));
  return rowCount === 1;
}

/** What Redis has of an offset. */
export interface Copy {
  readonly offset: Offset | undefined;
  /** Of the server that has it. */
  readonly epoch: string;
  /** The server's clock, Unix milliseconds. */
  readonly timeMs: number;
}

// A key of another kind under the name of the copy: there is no copy.
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

/** Lua: sets a copy, unless that is further already. Ids are compared as two numerals each: the longer numeral is the larger. */
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
      if times < 0 or (times == 0 and order(sequence, known_sequence) < 0) then return end
    end
  end
  redis.call('HSET', key, 'entry_id', id, 'entries_read', ordinal)
end`;

const COPY_FORWARD = new Script(`${SERVER_EPOCH_LUA}${COPY_FORWARD_LUA}
if server_epoch() == ARGV[1] then copy_forward(KEYS[1], ARGV[2], ARGV[3]) end
`);

export interface CopyOptions {
  readonly stream: string;
  /** Of the server that the entries are on: another one does not get the copy. */
  readonly epoch: string;
}

/** Copies a committed offset to Redis, unless the copy is further already. */
export async function copyOffset(
  redis: RedisConnection,
  { entryId, entriesRead }: Offset,
  { stream, epoch }: CopyOptions,
): Promise<void> {
  await redis.run(COPY_FORWARD, [streamOffsetKey(stream)], [epoch, entryId, entriesRead ?? ""]);
}

/** Replaces the copy, backwards too: the stream is another one now. */
export async function replaceCopy(redis: RedisConnection, stream: string, offset: Offset): Promise<void> {
  await redis.call(
    "HSET",
    streamOffsetKey(stream),
    "entry_id",
    offset.entryId,
    "entries_read",
    offset.entriesRead ?? "",
  );
}
