/**
 * The consumer's place in its stream: the row in `stream_offsets`, and its public copy, a hash in Redis.
 *
 * The row counts. It is compared and set in the transaction that accepts a batch, so that whoever read from an older
 * place changes nothing. The copy follows after the commit, forward only. Contract, section 6.
 */
import type pg from "pg";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { RedisError } from "../redis/failures.ts";
import { BEFORE_ALL, compareEntryIds, isEntryId } from "../redis/entry_ids.ts";

export interface Place {
  /** The last entry that has its outcome; `0-0` before the first. */
  readonly entryId: string;
  /** Its ordinal among all entries ever added; unknown where the place is not known from before. */
  readonly entriesRead: number | undefined;
}

export interface FoundPlace {
  readonly place: Place;
  /** The copy's entry where it is ahead of the row: PostgreSQL has lost commits. */
  readonly copyAhead: string | undefined;
}

type Queryable = Pick<pg.ClientBase, "query">;

export function copyKey(stream: string): string {
  return `notification:stream_offset:${stream}`;
}

/** The place from the table, else from the copy, else before all entries: never `$`, which would skip. */
export async function findPlace(
  { postgres, redis, stream }: { postgres: Queryable; redis: RedisConnection; stream: string },
): Promise<FoundPlace> {
  // The copy first: it follows the commit, so that a row read after it can't be behind, unless PostgreSQL lost commits.
  const copy = await readCopy(redis, stream);
  const row = await selectPlace(postgres, stream);
  if (row === undefined) {
    return { place: copy ?? { entryId: BEFORE_ALL, entriesRead: undefined }, copyAhead: undefined };
  }
  const isAhead = copy !== undefined && compareEntryIds(copy.entryId, row.entryId) > 0;
  return { place: row, copyAhead: isAhead ? copy.entryId : undefined };
}

export async function selectPlace(postgres: Queryable, stream: string): Promise<Place | undefined> {
  const { rows } = await postgres.query<{ entry_id: string; entries_read: string }>(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1",
    [stream],
  );
  return rows[0] && { entryId: rows[0].entry_id, entriesRead: Number(rows[0].entries_read) };
}

/**
 * Sets the place if it still is `from`, or if there is no row; `false` if another consumer has moved it.
 * To be called in the transaction that gives the entries in between their outcomes.
 *
 * @param options.isOrdinalCompared whether the ordinal, too, must be the one that was read: where nothing but that is set
 */
export async function movePlace(
  client: Queryable,
  { stream, from, to, isOrdinalCompared = false }: {
    stream: string;
    from: Place;
    to: Place;
    isOrdinalCompared?: boolean;
  },
): Promise<boolean> {
  const { rowCount } = await client.query({
    name: "move_place",
    text: `
      INSERT INTO notification.stream_offsets AS place (stream, entry_id, entries_read, updated_at)
      VALUES ($1, $2, $3, now())
      ON CONFLICT (stream) DO UPDATE
      SET entry_id = excluded.entry_id, entries_read = excluded.entries_read, updated_at = excluded.updated_at
      WHERE place.entry_id = $4 AND ($5::bigint IS NULL OR place.entries_read = $5)`,
    values: [
      stream,
      to.entryId,
      to.entriesRead ?? 0,
      from.entryId,
      isOrdinalCompared ? from.entriesRead ?? 0 : null,
    ],
  });
  return rowCount === 1;
}

async function readCopy(redis: RedisConnection, stream: string): Promise<Place | undefined> {
  let reply: (string | null)[];
  try {
    reply = await redis.call("HMGET", copyKey(stream), "entry_id", "entries_read") as (string | null)[];
  } catch (error) {
    // Somebody else's key under the name of the copy: there is no copy.
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

/** Copies a committed place to Redis unless the copy is further already. */
export async function copyPlace(redis: RedisConnection, stream: string, place: Place): Promise<void> {
  await redis.run(COPY_FORWARD, [copyKey(stream)], [place.entryId, place.entriesRead ?? 0]);
}

/** Replaces the copy, backwards too: the stream is another one now. */
export async function replaceCopy(redis: RedisConnection, stream: string, place: Place): Promise<void> {
  await redis.call("HSET", copyKey(stream), "entry_id", place.entryId, "entries_read", place.entriesRead ?? 0);
}
