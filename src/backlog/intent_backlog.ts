/**
 * What of the intent stream has no outcome yet, for whoever watches: how many entries, and how old the first of them is.
 *
 * Look-ups that cost the same however many there are. The place is PostgreSQL's, or the copy in Redis while PostgreSQL
 * can't be asked: that is when somebody wants to know.
 */
import { type RedisConnection, Script } from "../redis/connection.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import { BEFORE_ALL, isEntryId } from "../redis/entry_ids.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import { streamOffsetKey } from "../redis/keys.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";

export interface IntentBacklog {
  readonly lag: number;
  /** From the first entry's id to Redis's now; 0 without one. */
  readonly oldestAgeMs: number;
}

// The place is the copy where none is given. Only the id of the next entry is given back, not its fields.
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

type Reply = [number, number, string, string, number, string, string, string] | [];

/** @param place nothing where PostgreSQL can't be asked or has none: the copy then counts */
export async function intentBacklog(
  redis: RedisConnection,
  { stream, place }: { stream: string; place: Offset | undefined },
): Promise<IntentBacklog> {
  const reply = await redis.run(LOOK, [stream, streamOffsetKey(stream)], [place?.entryId ?? ""]) as Reply;
  if (reply.length === 0) return { lag: 0, oldestAgeMs: 0 };
  const [length, entriesAdded, lastGeneratedId, firstId, nowMs, copiedId, copiedOrdinal, nextId] = reply;
  const copy = isEntryId(copiedId)
    ? { entryId: copiedId, entriesRead: /^\d{1,15}$/.test(copiedOrdinal) ? Number(copiedOrdinal) : undefined }
    : { entryId: BEFORE_ALL, entriesRead: undefined };
  return backlogOf(place ?? copy, { length, entriesAdded, lastGeneratedId, firstId }, { nextId, nowMs });
}

/** Pure. @param nextId the entry behind the place; empty if there is none */
export function backlogOf(
  place: Offset,
  state: StreamState,
  { nextId, nowMs }: { nextId: string; nowMs: number },
): IntentBacklog {
  const standing = standingOf(place, state);
  const ageOf = (id: string) => Math.max(0, nowMs - entryTimeMs(id));
  if (standing.kind === "another_stream") {
    // It is read from its beginning.
    return { lag: state.length, oldestAgeMs: state.length === 0 ? 0 : ageOf(state.firstId) };
  }
  if (nextId === "") return { lag: 0, oldestAgeMs: 0 };
  // Where the place's ordinal was not known, what was gone already counts as read, and nothing of what is there: right
  // before the first entry, too much behind one.
  const lag = Math.min(state.length, state.entriesAdded - standing.entriesRead);
  return { lag: Math.max(1, lag), oldestAgeMs: ageOf(nextId) };
}
