/**
 * The consumer's offset → how many entries of the intent stream have no outcome yet, which is the first of them, and how old
 * it is.
 *
 * One read-only script whose cost does not depend on the number of entries. The offset is PostgreSQL's, or its copy in Redis
 * while PostgreSQL does not answer.
 */
import { entryTimeMs } from "../notification/stream_entry.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, isEntryId } from "../redis/entry_ids.ts";
import { streamOffsetKey } from "../redis/keys.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";

export interface IntentBacklog {
  readonly lag: number;
  /** The first entry without an outcome, which is read next. */
  readonly nextEntryId: string | undefined;
  /** From that entry's id to Redis's time; 0 without one. */
  readonly oldestAgeMs: number;
}

// An empty ARGV[1] means: the copy. Of the next entry the script returns the id alone, not the fields.
const LOOK = new Script(`
#!lua flags=no-writes
local time = redis.call('TIME')
local copy = redis.call('HMGET', KEYS[2], 'entry_id', 'entries_read')
local place = ARGV[1]
if place == '' then place = copy[1] or '' end
if not string.match(place, '^%d+%-%d+$') then place = '0-0' end
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then
  if string.find(info.err, 'no such key', 1, true) then return {} end
  return info
end
local state = {}
for i = 1, #info, 2 do state[info[i]] = info[i + 1] end
local behind = redis.pcall('XRANGE', KEYS[1], '(' .. place, '+', 'COUNT', 1)
local next = behind[1] and behind[1][1] or ''
return {
  state['length'], state['entries-added'], state['last-generated-id'], state['recorded-first-entry-id'], now,
  copy[1] or '', copy[2] or '', next
}
`);

const NOTHING: IntentBacklog = { lag: 0, nextEntryId: undefined, oldestAgeMs: 0 };

type Reply = [number, number, string, string, number, string, string, string] | [];

/** @param options.offset the offset in PostgreSQL; without one the copy in Redis counts */
export async function intentBacklog(
  redis: RedisConnection,
  { stream, offset }: { stream: string; offset: Offset | undefined },
): Promise<IntentBacklog> {
  const reply = await redis.run(LOOK, [stream, streamOffsetKey(stream)], [offset?.entryId ?? ""]) as Reply;
  if (reply.length === 0) return NOTHING;
  const [length, entriesAdded, lastGeneratedId, firstId, nowMs, copiedId, copiedOrdinal, nextId] = reply;
  const copy = isEntryId(copiedId)
    ? { entryId: copiedId, entriesRead: /^\d{1,15}$/.test(copiedOrdinal) ? Number(copiedOrdinal) : undefined }
    : { entryId: BEFORE_ALL, entriesRead: undefined };
  return backlogOf(offset ?? copy, { length, entriesAdded, lastGeneratedId, firstId }, { nextId, nowMs });
}

/** Pure. @param next.nextId the entry behind the offset; empty if there is none */
function backlogOf(
  offset: Offset,
  state: StreamState,
  { nextId, nowMs }: { nextId: string; nowMs: number },
): IntentBacklog {
  const standing = standingOf(offset, state);
  const behind = (lag: number, id: string): IntentBacklog => {
    return { lag, nextEntryId: id, oldestAgeMs: Math.max(0, nowMs - entryTimeMs(id)) };
  };
  // The consumer reads another stream from its beginning.
  if (standing.kind === "another_stream") return state.length === 0 ? NOTHING : behind(state.length, state.firstId);
  if (nextId === "") return NOTHING;
  // Where the offset's ordinal is not known, the entries deleted so far count as read and all others as unread: exact for an
  // offset before the first entry, too many for a later one.
  return behind(Math.max(1, Math.min(state.length, state.entriesAdded - (standing.entriesRead ?? 0))), nextId);
}
