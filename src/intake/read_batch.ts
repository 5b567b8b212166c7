/**
 * The offset → the entries after it and the stream's state, taken together by one read-only script.
 *
 * This is a script instead of a `MULTI` because Redis refuses a `MULTI` while over `maxmemory`, even one that only
 * reads. A batch is bounded in entries and in bytes (one entry always fits). Of an entry of more than 1 MiB only the id
 * is read here; `exact_entry.ts` fetches it in pieces. Consumer groups of others on the stream do not make a read more
 * expensive.
 */
import type { Clock } from "../clock.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { RedisError } from "../redis/failures.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { ClaimStart } from "../relay/batch.ts";
import type { StreamState } from "../stream_offset/ordinals.ts";

export const MAX_BATCH_BYTES = 2 * 1024 * 1024;
const LARGE_ENTRY_BYTES = 1024 * 1024;

/** Names and values in turn; `undefined` for a large entry. Bytes that are not UTF-8 arrive as U+FFFD. */
interface ReadEntry {
  readonly id: string;
  readonly fields: readonly string[] | undefined;
}

export interface ReadBatch extends ClaimStart {
  /** `undefined` when there is no stream, or when the state was not asked for. */
  readonly state: StreamState | undefined;
  readonly entries: readonly ReadEntry[];
  /** Of the server that was read from. */
  readonly epoch: string;
  /** Whether the text contains U+FFFD, which may stand for bytes that are not UTF-8. */
  readonly isDoubtful: boolean;
}

// The entries come as one JSON text: Lua writes it and JavaScript reads it several times as fast as a reply of sixteen
// thousand strings. It keeps bytes that are not UTF-8 as they are. Each value counts sixteen bytes more than its text,
// for what it costs besides. XINFO also returns the first and the last entry. XINFO FULL would return only the first
// one, but with it every consumer of every group: 200,000 consumers blocked Redis for a second. Entries are fetched at
// most eight at a time: Redis holds the result of a step in memory before its size is known, and eight entries of many
// megabytes fit within the time of one command.
const READ = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local stream, offset = KEYS[1], ARGV[1]
local max, maxBytes, large, step = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), 1
local state = { length = -1, ['entries-added'] = 0, ['last-generated-id'] = '', ['recorded-first-entry-id'] = '' }
if ARGV[5] == '1' then
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then
    if string.find(info.err, 'no such key', 1, true) then return { (server_epoch()) } end
    return info
  end
  for i = 1, #info, 2 do state[info[i]] = info[i + 1] end
end
local entries, bytes = {}, 0
while #entries < max and bytes < maxBytes do
  local asked = math.min(step, max - #entries)
  local reply = redis.pcall('XREAD', 'COUNT', asked, 'STREAMS', stream, offset)
  if not reply then break end
  if reply.err then return reply end
  local found = reply[1][2]
  for _, entry in ipairs(found) do
    local size = 0
    for _, value in ipairs(entry[2]) do size = size + #value + 16 end
    local isLarge = size > large
    local cost = isLarge and large or size
    if #entries > 0 and bytes + cost > maxBytes then asked = -1 break end
    bytes = bytes + cost
    entries[#entries + 1] = isLarge and { entry[1] } or entry
    offset = entry[1]
  end
  if asked ~= #found then break end
  step = math.min(step * 2, 8)
end
local time = redis.call('TIME')
return { server_epoch(), state['length'], state['entries-added'], state['last-generated-id'], state['recorded-first-entry-id'],
  time[1] * 1000 + math.floor(time[2] / 1000), #entries > 0 and cjson.encode(entries) or '[]' }
`);

export interface ReadOptions {
  readonly clock: Clock;
  readonly stream: string;
  /** The entries after this one are read. */
  readonly after: string;
  readonly maxEntries: number;
  /** Leaves out the stream's state, which costs Redis a copy of the first and the last entry. */
  readonly withoutState?: boolean;
}

/** @throws OutageError `intent_stream` when the key can't be read as a stream by this user */
export async function readBatch(redis: RedisConnection, options: ReadOptions): Promise<ReadBatch> {
  const { clock, stream, after, maxEntries, withoutState = false } = options;
  const reply = await unreadableAsOutage(
    () => redis.run(READ, [stream], [after, maxEntries, MAX_BATCH_BYTES, LARGE_ENTRY_BYTES, withoutState ? 0 : 1]),
  ) as [string, number, number, string, string, number, string] | [string];
  const takenAt = clock.monotonic();
  if (reply.length === 1) {
    return { state: undefined, entries: [], epoch: reply[0], isDoubtful: false, takenAtMs: 0, takenAt };
  }
  const [epoch, length, entriesAdded, lastGeneratedId, firstId, takenAtMs, text] = reply;
  return {
    state: withoutState ? undefined : { length, entriesAdded, lastGeneratedId, firstId },
    entries: (JSON.parse(text) as [string, string[]?][]).map(([id, fields]) => ({ id, fields })),
    epoch,
    isDoubtful: text.includes("\ufffd"),
    takenAtMs,
    takenAt,
  };
}

/**
 * Waits until an entry follows `after`, at most `blockMs` milliseconds, and then reads: the script is sent together
 * with the blocking command, and Redis runs it as soon as the wait is over.
 */
export async function readWhenThere(
  redis: RedisConnection,
  { blockMs, ...options }: ReadOptions & { readonly blockMs: number },
): Promise<ReadBatch> {
  const { stream, after } = options;
  // As bytes: this reply is not used, and an entry of 100 MiB need not become a string.
  const wait = () => redis.callBuffer("XREAD", "COUNT", 1, "BLOCK", blockMs, "STREAMS", stream, after);
  const [, batch] = await Promise.all([unreadableAsOutage(wait), readBatch(redis, options)]);
  return batch;
}

/** A key of another type, or a user without rights on it, is an outage of the intent stream and not of Redis. */
export async function unreadableAsOutage<Reply>(read: () => Promise<Reply>): Promise<Reply> {
  try {
    return await read();
  } catch (error) {
    const unreadable = error instanceof RedisError && (error.code === "WRONGTYPE" || error.code === "NOPERM");
    throw unreadable ? new OutageError("intent_stream", error.message, { answered: ["redis"], cause: error }) : error;
  }
}
