/**
 * The consumer's offset in its stream: the row in `stream_offsets`, and its public copy, a hash in Redis.
 *
 * The row counts. It is compared and set in the transaction that accepts a batch, so that a consumer which read from an older
 * offset changes nothing. The copy follows after the commit, forward only. Contract, section 6.
 */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, compareEntryIds, isEntryId } from "../redis/entry_ids.ts";
import { RedisError } from "../redis/failures.ts";
import { streamOffsetKey } from "../redis/keys.ts";

export interface Offset {
  /** The last entry that has its outcome; `0-0` before the first. */
  readonly entryId: string;
  /** Its ordinal among all entries ever added; absent while that is not known. */
  readonly entriesRead: number | undefined;
}

export interface FoundOffset {
  readonly offset: Offset;
  /** The copy's entry where it is ahead of the row: PostgreSQL has lost commits. */
  readonly copyAhead: string | undefined;
}

type Queryable = Pick<pg.ClientBase, "query">;

/** The offset from the table, else from the copy, else before all entries: never `$`, which would skip some. */
export async function findOffset(
  { postgres, redis, stream }: { postgres: Queryable; redis: RedisConnection; stream: string },
): Promise<FoundOffset> {
  // The copy first: it follows the commit, so that a row read after it can't be behind, unless PostgreSQL lost commits.
  const copy = await readCopy(redis, stream);
  const row = await selectOffset(postgres, stream);
  if (row === undefined) {
    return { offset: copy ?? { entryId: BEFORE_ALL, entriesRead: undefined }, copyAhead: undefined };
  }
  const isAhead = copy !== undefined && compareEntryIds(copy.entryId, row.entryId) > 0;
  return { offset: row, copyAhead: isAhead ? copy.entryId : undefined };
}

export async function selectOffset(postgres: Queryable, stream: string): Promise<Offset | undefined> {
  const { rows } = await postgres.query<{ entry_id: string; entries_read: string | null }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  const [row] = rows;
  return row &&
    { entryId: row.entry_id, entriesRead: row.entries_read === null ? undefined : Number(row.entries_read) };
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

async function readCopy(redis: RedisConnection, stream: string): Promise<Offset | undefined> {
  let reply: (string | null)[];
  try {
    reply = await redis.call("HMGET", streamOffsetKey(stream), "entry_id", "entries_read") as (string | null)[];
  } catch (error) {
    // A key of another kind under the name of the copy: there is no copy.
    if (error instanceof RedisError && error.code === "WRONGTYPE") return undefined;
    throw error;
  }
  const [entryId, entriesRead] = reply;
  if (typeof entryId !== "string" || !isEntryId(entryId)) return undefined;
  return { entryId, entriesRead: /^\d{1,15}$/.test(entriesRead ?? "") ? Number(entriesRead) : undefined };
}

// Ids are compared as two numerals each: the longer numeral is the larger.
const COPY_FORWARD = new Script(`
local function order(a, b)
  if #a ~= #b then return #a - #b end
  if a == b then return 0 end
  return a < b and -1 or 1
end
local known = redis.call('HGET', KEYS[1], 'entry_id')
if known then
  local knownTime, knownSequence = string.match(known, '^(%d+)-(%d+)$')
  local time, sequence = string.match(ARGV[1], '^(%d+)-(%d+)$')
  if knownTime then
    local times = order(time, knownTime)
    if times < 0 or (times == 0 and order(sequence, knownSequence) < 0) then return 0 end
  end
end
redis.call('HSET', KEYS[1], 'entry_id', ARGV[1], 'entries_read', ARGV[2])
return 1
`);

/** Copies a committed offset to Redis, unless the copy is further already. */
export async function copyOffset(redis: RedisConnection, stream: string, offset: Offset): Promise<void> {
  await redis.run(COPY_FORWARD, [streamOffsetKey(stream)], [offset.entryId, offset.entriesRead ?? ""]);
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
