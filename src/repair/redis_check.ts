/**
 * Redis, as it is → what it has lost of the outbound streams, committed as repairs; then its epoch counts as checked, and the
 * hand-off script appends again. Contract, section 11.
 *
 * The row of an outbound stream is the highest entry that is written as published. Where the stream ends before it, what lies in
 * between is lost: a repair is committed, and the row is set back to the end of the stream. While an epoch is not checked nothing is
 * appended in it, and what was appended in an earlier one can't be written as published any more once the row has the new
 * epoch: so the end of the stream stands still, and no loss slips in behind the comparison.
 *
 * The end of a stream that somebody has deleted is the copy of its offset, which a loss takes away together with the entries.
 *
 * Redis keeps the ends that were compared in its latest epochs: should PostgreSQL lose the repair of one of them, and the row come
 * back with an earlier epoch, the row is compared with the smallest end since, although the stream has gone on.
 *
 * Several instances may check at once. The row is read before the stream and set only if it still is what was read; the one that
 * comes second begins again and finds nothing to do.
 */
import type pg from "pg";
import { OutageError } from "../lifecycle/outage.ts";
import { bigint, rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, compareEntryIds, isEntryId, laterEntryId } from "../redis/entry_ids.ts";
import { HIDDEN_EPOCH, SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { comparedEndsKey, redisEpochKey, streamOffsetKey } from "../redis/keys.ts";
import { isBehindSql } from "../stream_offset/stream_offset.ts";

/** A part of an outbound stream that Redis has lost. */
export interface Loss {
  readonly stream: string;
  /** The last entry before it: the end of the stream when it was found. */
  readonly lostAfter: string;
  readonly lostUpTo: string;
}

/** Another instance checks at the same time, or the server changes again. */
const MAX_TRIES = 20;

interface Known {
  readonly entryId: string;
  /** Empty where it was never compared. */
  readonly epoch: string;
}

interface Comparison extends Known {
  readonly stream: string;
  readonly end: string;
  readonly newEpoch: string;
}

/** The ends of the streams that were compared in one epoch, in the order of the streams. */
interface ComparedEnds {
  readonly epoch: string;
  readonly ends: readonly string[];
}

interface Seen {
  readonly epoch: string;
  readonly checkedEpoch: string;
  /** In the order of the streams. */
  readonly ends: readonly string[];
  /** Of the latest epochs, the oldest first. */
  readonly compared: readonly ComparedEnds[];
}

const MAX_COMPARED = 20;

// KEYS: the streams, then the copies of their offsets.
const SEE = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local epoch, is_replica = server_epoch()
if is_replica then return redis.error_reply('READONLY this server is a replica') end
local checked, compared = redis.pcall('GET', ARGV[1]), redis.pcall('GET', ARGV[2])
local seen = { epoch, type(checked) == 'string' and checked or '', type(compared) == 'string' and compared or '' }
for at = 1, #KEYS / 2 do
  local info, last = redis.pcall('XINFO', 'STREAM', KEYS[at]), '${BEFORE_ALL}'
  if info.err and not string.find(info.err, 'no such key', 1, true) and string.sub(info.err, 1, 9) ~= 'WRONGTYPE' then
    return info
  end
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
  local copy = redis.pcall('HGET', KEYS[#KEYS / 2 + at], 'entry_id')
  seen[#seen + 1] = last
  seen[#seen + 1] = type(copy) == 'string' and copy or ''
end
return seen
`);

const SET_EPOCH = new Script(`${SERVER_EPOCH_LUA}
local epoch, is_replica = server_epoch()
if is_replica or epoch ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
return 1
`);

const SELECT_KNOWN = statement({ name: "outbound_offset", takes: { stream: "text" } }, (p) => `
SELECT entry_id AS "entryId", coalesce(redis_epoch, '') AS epoch FROM notification.stream_offsets WHERE stream = ${p.stream}`);

const COMPARISON = rows<Comparison>()({
  stream: text(({ stream }) => stream),
  was_id: text(({ entryId }) => entryId),
  was_epoch: text(({ epoch }) => epoch),
  last_id: text(({ end }) => end),
  epoch: text(({ newEpoch }) => newEpoch),
  is_same_server: bigint((comparison) => isSameServer(comparison) ? 1 : 0),
});

/** A server loses nothing in one life: a stream that ends earlier than it did was emptied by somebody, and is left as it is. */
function isSameServer({ epoch, newEpoch }: Comparison): boolean {
  return epoch === newEpoch && newEpoch !== HIDDEN_EPOCH;
}

// The time is taken when the row is locked: every publication that was written before it is older, by PostgreSQL's clock of then.
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
    entry_id = CASE WHEN ${isBehindSql("found.last_id", "known.entry_id")} THEN found.last_id ELSE known.entry_id END
  FROM found
  WHERE known.stream = found.stream
), lost AS (
  INSERT INTO notification.repairs (stream, lost_after, lost_up_to, detected_at)
  SELECT stream, last_id, was_id, greatest(clock_timestamp(), was_updated_at) FROM found
  WHERE ${isBehindSql("last_id", "was_id")} AND is_same_server = 0
)
SELECT FROM found`);

const BEGIN = statement({ name: "begin_outbound_offset", takes: { found: COMPARISON } }, (p) => `
INSERT INTO notification.stream_offsets (stream, entry_id, redis_epoch)
SELECT stream, last_id, epoch FROM ${p.found()} ON CONFLICT DO NOTHING`);

export interface RedisCheckOptions {
  readonly redis: RedisConnection;
  readonly postgres: pg.Pool;
  readonly streams: readonly string[];
}

/** Resolves, with what this found lost, when Redis's epoch counts as checked. */
export async function checkRedisServer(options: RedisCheckOptions): Promise<readonly Loss[]> {
  const losses: Loss[] = [];
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (await checkOnce(options, losses)) return losses;
  }
  throw new OutageError("redis", "Redis changes while it is checked for losses");
}

/** Whether nothing changed meanwhile. */
async function checkOnce({ redis, postgres, streams }: RedisCheckOptions, losses: Loss[]): Promise<boolean> {
  // The rows first: an entry that is written as published was in the stream by then, so that a stream that ends before it
  // has lost it.
  const known: (Known | undefined)[] = [];
  for (const stream of streams) known.push((await postgres.query<Known>(SELECT_KNOWN({ stream }))).rows[0]);
  const seen = await see(redis, streams);
  const { epoch, ends } = seen;
  for (const [at, stream] of streams.entries()) {
    const row = known[at] ?? { entryId: "", epoch: "" };
    const comparison = { ...row, stream, end: endFor(row, seen, at), newEpoch: epoch };
    if (known[at] === undefined) {
      const { rowCount } = await postgres.query(BEGIN({ found: [comparison] }));
      if (rowCount !== 1) return false;
      continue;
    }
    const endsEarlier = compareEntryIds(row.entryId, comparison.end) > 0;
    if (row.epoch === epoch && !endsEarlier) continue;
    const { rowCount } = await postgres.query(SETTLE({ found: [comparison] }));
    if (rowCount !== 1) return false;
    if (endsEarlier && !isSameServer(comparison)) {
      losses.push({ stream, lostAfter: comparison.end, lostUpTo: row.entryId });
    }
  }
  if (seen.checkedEpoch === epoch) return true;
  const compared = [...seen.compared, { epoch, ends }].slice(-MAX_COMPARED);
  return await redis.run(SET_EPOCH, [redisEpochKey(), comparedEndsKey()], [epoch, JSON.stringify(compared)]) === 1;
}

/** What the row is compared with: the end of the stream, or an earlier one that was compared since the row's epoch. */
function endFor({ epoch }: Known, { epoch: newEpoch, ends, compared }: Seen, at: number): string {
  let end = ends[at]!;
  if (epoch === "" || epoch === newEpoch) return end;
  const own = compared.findLastIndex((item) => item.epoch === epoch);
  for (const { ends } of compared.slice(own + 1)) {
    const before = ends[at];
    if (before !== undefined && compareEntryIds(before, end) < 0) end = before;
  }
  return end;
}

async function see(redis: RedisConnection, streams: readonly string[]): Promise<Seen> {
  const keys = [...streams, ...streams.map(streamOffsetKey)];
  const reply = await redis.run(SEE, keys, [redisEpochKey(), comparedEndsKey()]) as [
    string,
    string,
    string,
    ...string[],
  ];
  const [epoch, checkedEpoch, compared, ...found] = reply;
  const ends = streams.map((_, at) => {
    const [last, copy] = [found[2 * at]!, found[2 * at + 1]!];
    return copy === "" || epoch === HIDDEN_EPOCH ? last : laterEntryId(last, copy);
  });
  return { epoch, checkedEpoch, ends, compared: parseCompared(compared) };
}

/** What others have written under the key counts for nothing. */
function parseCompared(json: string): readonly ComparedEnds[] {
  try {
    const parsed: unknown = JSON.parse(json);
    return Array.isArray(parsed) ? parsed.filter(isComparedEnds) : [];
  } catch {
    return [];
  }
}

function isComparedEnds(value: unknown): value is ComparedEnds {
  const { epoch, ends } = (value ?? {}) as { epoch?: unknown; ends?: unknown };
  return typeof epoch === "string" && Array.isArray(ends) &&
    ends.every((id) => typeof id === "string" && isEntryId(id));
}
