/**
 * The consumer's offset → how many entries of the intent stream have no outcome yet, the first of them and its age, and
 * how long and why intake has stalled at it.
 *
 * This is one read-only script whose cost does not depend on the number of entries. The offset comes from PostgreSQL,
 * or from its copy in Redis while PostgreSQL does not answer.
 */
import { entryTimeMs } from "../notification/stream_entry.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, isEntryId } from "../redis/entry_ids.ts";
import { intakeStallKey, streamOffsetKey } from "../redis/keys.ts";
import { standingOf, type StreamState } from "../stream_offset/ordinals.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";
import { ageOf, stalledFor } from "./entry_age.ts";
import type { FirstSeen } from "./first_seen.ts";
import { type IntakeStall, parseStall } from "./intake_stall.ts";
import type { MovedOffset } from "./moved_offset.ts";

export interface IntentBacklog {
  readonly lag: number;
  /** The first entry without an outcome. */
  readonly nextEntryId: string | undefined;
  /** How long that entry has existed, as far as it is known; 0 without one. */
  readonly oldestAgeMs: number;
  /** How long intake has not moved although that entry waits; 0 without one. */
  readonly stalledMs: number;
  /**
   * By how much the stream's newest id is ahead of Redis's clock, so that its ids show no time; 0 if it is not ahead.
   */
  readonly aheadMs: number;
  /** What the consumer waits for, if it has written that. */
  readonly stall: IntakeStall | undefined;
}

// If ARGV[1] is empty, the copy is used. The script returns only the id of the next entry, not its fields.
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
local after = redis.pcall('XRANGE', KEYS[1], '(' .. place, '+', 'COUNT', 1)
local next = after[1] and after[1][1] or ''
local stall = redis.pcall('GET', KEYS[3])
return {
  state['length'], state['entries-added'], state['last-generated-id'], state['recorded-first-entry-id'], now,
  copy[1] or '', copy[2] or '', next, type(stall) == 'string' and stall or ''
}
`);

const NOTHING: IntentBacklog = {
  lag: 0,
  nextEntryId: undefined,
  oldestAgeMs: 0,
  stalledMs: 0,
  aheadMs: 0,
  stall: undefined,
};

type Reply = [number, number, string, string, number, string, string, string, string] | [];

export interface IntentBacklogOptions {
  readonly stream: string;
  /** The offset in PostgreSQL; without one the copy in Redis counts. */
  readonly offset: MovedOffset | undefined;
  readonly seen: FirstSeen;
  /** Of a monotonic clock. */
  readonly atMs: number;
}

export async function intentBacklog(redis: RedisConnection, options: IntentBacklogOptions): Promise<IntentBacklog> {
  const { stream, offset } = options;
  const keys = [stream, streamOffsetKey(stream), intakeStallKey(stream)];
  const reply = await redis.run(LOOK, keys, [offset?.entryId ?? ""]) as Reply;
  if (reply.length === 0) return NOTHING;
  const [length, entriesAdded, lastGeneratedId, firstId, nowMs, copiedId, copiedOrdinal, nextId, stall] = reply;
  const copy = isEntryId(copiedId)
    ? { entryId: copiedId, entriesRead: /^\d{1,15}$/.test(copiedOrdinal) ? Number(copiedOrdinal) : undefined }
    : { entryId: BEFORE_ALL, entriesRead: undefined };
  const state = { length, entriesAdded, lastGeneratedId, firstId };
  const waiting = waitingOf(offset ?? copy, state, nextId);
  const aheadMs = Math.max(0, entryTimeMs(lastGeneratedId) - nowMs);
  if (waiting === undefined) return { ...NOTHING, aheadMs };
  const known = {
    byIdMs: nowMs - entryTimeMs(waiting.nextEntryId),
    movedMs: offset?.movedAgoMs,
    seen: options.seen.note(waiting.nextEntryId, { lastId: lastGeneratedId, atMs: options.atMs }),
  };
  const noted = parseStall(stall);
  const isAbout = noted !== undefined && [undefined, waiting.nextEntryId].includes(noted.entryId);
  return {
    ...waiting,
    oldestAgeMs: ageOf(known),
    stalledMs: stalledFor(known),
    aheadMs,
    stall: isAbout ? noted : undefined,
  };
}

/** Pure. @param nextId the entry after the offset; empty if there is none */
function waitingOf(
  offset: Offset,
  state: StreamState,
  nextId: string,
): { readonly lag: number; readonly nextEntryId: string } | undefined {
  const standing = standingOf(offset, state);
  if (standing.kind !== "same") {
    // Another stream is read from its beginning. A stream that lost its tail looks the same until the offset is set
    // back.
    return state.length === 0 ? undefined : { lag: state.length, nextEntryId: state.firstId };
  }
  if (nextId === "") return undefined;
  // If the offset's ordinal is unknown, all entries that still exist count as unread: exact for an offset before the
  // first entry, too many for a later one.
  const lag = Math.max(1, Math.min(state.length, state.entriesAdded - (standing.entriesRead ?? 0)));
  return { lag, nextEntryId: nextId };
}
