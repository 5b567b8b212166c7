/**
 * A Redis server with a new epoch → the entries of the outbound streams that it has lost, committed as repairs. Then
 * the epoch counts as checked, and the hand-off script appends again (docs/contract.md, section 11).
 *
 * The row of an outbound stream is the highest entry that is written as published. If the stream ends before it, the
 * entries in between are lost: a repair is committed, and the row is set back to the end of the stream. Nothing is
 * appended in an epoch that is not checked, and once the row has the new epoch, an entry that was appended in an
 * earlier one can no longer be written as published. So the end of the stream does not move during the comparison, and
 * no loss is missed.
 *
 * PostgreSQL may lose commits after a loss was found, and then has neither the repair nor the epoch. For that case
 * Redis keeps where each stream ended when an epoch was checked: a row of an earlier epoch is compared with the entries
 * that the stream kept of that epoch.
 *
 * If a stream was deleted, the copy of its offset counts as its end: Redis would lose the copy together with the
 * entries.
 *
 * Several instances may check at once. The row is read before the stream and set only if it has not changed; the second
 * instance begins again and finds nothing to do.
 */
import type pg from "pg";
import { bigint, rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, compareEntryIds, isEntryId, laterEntryId } from "../redis/entry_ids.ts";
import { HIDDEN_EPOCH, SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { epochBeginningsKey, redisEpochKey, streamOffsetKey } from "../redis/keys.ts";
import { isBeforeSql } from "../stream_offset/stream_offset.ts";
import { OutageError } from "../lifecycle/outage.ts";

/** A part of an outbound stream that Redis has lost. */
export interface Loss {
  readonly stream: string;
  /** The last entry before the loss: the end of the stream when the loss was found. */
  readonly lostAfter: string;
  readonly lostUpTo: string;
}

/** A try fails when another instance checks at the same time, or the server changes again. */
const MAX_TRIES = 20;

/** Redis keeps the beginnings of this many epochs. */
const MAX_BEGINNINGS = 100;

interface Known {
  readonly entryId: string;
  /** Empty if the row was never compared. */
  readonly epoch: string;
}

interface Comparison extends Known {
  readonly stream: string;
  /** The last entry of the row's epoch that the stream still has. */
  readonly lastId: string;
  readonly newEpoch: string;
}

interface Seen {
  readonly epoch: string;
  readonly checkedEpoch: string;
  readonly ends: readonly StreamEnd[];
}

interface StreamEnd {
  readonly lastId: string;
  /** The end of the stream when each epoch began, the latest epoch last. */
  readonly beginnings: readonly (readonly [epoch: string, lastId: string])[];
}

// KEYS: the streams, then the copies of their offsets.
const SEE = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local function is_refused(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  -- No stream, or a key of another type under its name, is an answer and not a refusal.
  return string.sub(reply.err, 1, 9) ~= 'WRONGTYPE' and not string.find(reply.err, 'no such key', 1, true)
end
local epoch, is_replica = server_epoch()
if is_replica then return redis.error_reply('READONLY this server is a replica') end
local checked = redis.pcall('GET', ARGV[1])
if is_refused(checked) then return checked end
local seen = { epoch, type(checked) == 'string' and checked or '' }
for at = 1, #KEYS / 2 do
  local beginnings = redis.pcall('HGET', ARGV[2], KEYS[at])
  local copy = redis.pcall('HGET', KEYS[#KEYS / 2 + at], 'entry_id')
  local info, last = redis.pcall('XINFO', 'STREAM', KEYS[at]), '${BEFORE_ALL}'
  -- A stream that this user may not read is not a lost one.
  for _, reply in ipairs({ beginnings or '', copy or '', info }) do if is_refused(reply) then return reply end end
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
  seen[#seen + 1] = last
  seen[#seen + 1] = type(copy) == 'string' and copy or ''
  seen[#seen + 1] = type(beginnings) == 'string' and beginnings or ''
end
return seen
`);

// ARGV: the epoch, then each stream and its end. Nothing was appended since the end was read, unless the epoch is
// already set.
const SET_EPOCH = new Script(`${SERVER_EPOCH_LUA}
local epoch, is_replica = server_epoch()
if is_replica or epoch ~= ARGV[1] then return 0 end
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return 1 end
for i = 2, #ARGV, 2 do
  local beginnings, known = {}, redis.pcall('HGET', KEYS[2], ARGV[i])
  if type(known) == 'string' then for each in string.gmatch(known, '%S+') do beginnings[#beginnings + 1] = each end end
  beginnings[#beginnings + 1] = ARGV[1] .. ':' .. ARGV[i + 1]
  redis.pcall('HSET', KEYS[2], ARGV[i], table.concat(beginnings, ' ', math.max(1, #beginnings - ${MAX_BEGINNINGS - 1})))
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
`);

const SELECT_KNOWN = statement({ name: "outbound_offset", takes: { stream: "text" } }, (p) => `
SELECT entry_id AS "entryId", coalesce(redis_epoch, '') AS epoch FROM notification.stream_offsets WHERE stream = ${p.stream}`);

const COMPARISON = rows<Comparison>()({
  stream: text(({ stream }) => stream),
  was_id: text(({ entryId }) => entryId),
  was_epoch: text(({ epoch }) => epoch),
  last_id: text(({ lastId }) => lastId),
  epoch: text(({ newEpoch }) => newEpoch),
  is_same_server: bigint((comparison) => isSameServer(comparison) ? 1 : 0),
});

/**
 * A server that was not restarted or replaced loses nothing: a stream that ends earlier than before was emptied on
 * purpose, and is left as it is.
 */
function isSameServer({ epoch, newEpoch }: Comparison): boolean {
  return epoch === newEpoch && newEpoch !== HIDDEN_EPOCH;
}

// `detected_at` is read while the row is locked: every publication that was written before has an earlier time by
// PostgreSQL's clock.
const SETTLE = statement({ name: "settle_epoch", takes: { found: COMPARISON } }, (p) => `
WITH found AS MATERIALIZED (
  SELECT known.updated_at AS was_updated_at, found.*
  FROM notification.stream_offsets AS known
  JOIN ${p.found()} ON known.stream = found.stream AND known.entry_id = found.was_id
    AND known.redis_epoch IS NOT DISTINCT FROM found.was_epoch
  FOR UPDATE OF known
), settled AS (
  UPDATE notification.stream_offsets AS known
  SET redis_epoch = found.epoch, updated_at = now(),
    entry_id = CASE WHEN ${isBeforeSql("found.last_id", "known.entry_id")} THEN found.last_id ELSE known.entry_id END
  FROM found
  WHERE known.stream = found.stream
), lost AS (
  INSERT INTO notification.repairs (stream, lost_after, lost_up_to, detected_at)
  SELECT stream, last_id, was_id, greatest(clock_timestamp(), was_updated_at) FROM found
  WHERE ${isBeforeSql("last_id", "was_id")} AND is_same_server = 0
)
SELECT FROM found`);

const BEGIN = statement({ name: "begin_outbound_offset", takes: { found: COMPARISON } }, (p) => `
INSERT INTO notification.stream_offsets (stream, entry_id, redis_epoch)
SELECT stream, last_id, epoch FROM ${p.found()} ON CONFLICT DO NOTHING`);

export interface RedisCheckOptions {
  readonly redis: RedisConnection;
  readonly postgres: pg.Pool;
  readonly streams: readonly string[];
  /** Called when a loss that this call found is committed, also if the check of another stream fails afterwards. */
  readonly onLoss: (loss: Loss) => void;
}

/** Resolves when Redis's epoch counts as checked. */
export async function checkRedisServer(options: RedisCheckOptions): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (await checkOnce(options)) return;
  }
  throw new OutageError("redis", "Redis changes while it is checked for losses");
}

/** Returns whether nothing changed during the check. */
async function checkOnce({ redis, postgres, streams, onLoss }: RedisCheckOptions): Promise<boolean> {
  // The rows are read first: an entry that is written as published was in the stream before, so a stream that ends
  // before it has lost it.
  const known: (Known | undefined)[] = [];
  for (const stream of streams) known.push((await postgres.query<Known>(SELECT_KNOWN({ stream }))).rows[0]);
  const { epoch, checkedEpoch, ends } = await see(redis, streams);
  for (const [at, stream] of streams.entries()) {
    const row = known[at];
    const lastId = endOfEpoch(row?.epoch, ends[at]!, checkedEpoch === epoch);
    const comparison = { entryId: "", epoch: "", ...row, stream, lastId, newEpoch: epoch };
    if (row === undefined) {
      const { rowCount } = await postgres.query(BEGIN({ found: [comparison] }));
      if (rowCount !== 1) return false;
      continue;
    }
    const endsEarlier = compareEntryIds(row.entryId, comparison.lastId) > 0;
    if (row.epoch === epoch && !endsEarlier) continue;
    const { rowCount } = await postgres.query(SETTLE({ found: [comparison] }));
    if (rowCount !== 1) return false;
    if (endsEarlier && !isSameServer(comparison)) {
      onLoss({ stream, lostAfter: comparison.lastId, lostUpTo: row.entryId });
    }
  }
  if (checkedEpoch === epoch) return true;
  const now = streams.flatMap((stream, at) => [stream, ends[at]!.lastId]);
  return await redis.run(SET_EPOCH, [redisEpochKey(), epochBeginningsKey()], [epoch, ...now]) === 1;
}

/** The last entry of the epoch; later entries were appended in later epochs. */
function endOfEpoch(epoch: string | undefined, { lastId, beginnings }: StreamEnd, isChecked: boolean): string {
  const at = beginnings.findLastIndex(([known]) => known === epoch);
  // An epoch that Redis no longer knows is earlier than the present one; for other epochs the order is unknown.
  const later = at >= 0 ? beginnings.slice(at + 1) : isChecked && epoch !== undefined ? beginnings.slice(-1) : [];
  return later.map(([, id]) => id).reduce((one, other) => compareEntryIds(one, other) <= 0 ? one : other, lastId);
}

async function see(redis: RedisConnection, streams: readonly string[]): Promise<Seen> {
  const keys = [...streams, ...streams.map(streamOffsetKey)];
  const reply = await redis.run(SEE, keys, [redisEpochKey(), epochBeginningsKey()]) as [string, string, ...string[]];
  const [epoch, checkedEpoch, ...texts] = reply;
  const ends = streams.map((_, at) => {
    const [last = "", copy = "", beginnings = ""] = texts.slice(3 * at, 3 * at + 3);
    return {
      lastId: isEntryId(copy) && epoch !== HIDDEN_EPOCH ? laterEntryId(last, copy) : last,
      beginnings: parseBeginnings(beginnings),
    };
  });
  return { epoch, checkedEpoch, ends };
}

/** Text that is not from this service is ignored. */
function parseBeginnings(texts: string): StreamEnd["beginnings"] {
  return texts.split(" ").flatMap((text) => {
    const [epoch = "", id = ""] = text.split(":");
    return epoch !== "" && isEntryId(id) ? [[epoch, id] as const] : [];
  });
}
