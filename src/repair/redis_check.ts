/**
 * Redis, as it is → what it has lost of the outbound streams, committed as repairs; then its epoch counts as checked, and the
 * hand-off script appends again. Contract, section 11.
 *
 * The row of an outbound stream is the highest entry that is written as published. Where the stream ends before it, what lies in
 * between is lost: a repair is committed, and the row is set back to the end of the stream. While an epoch is not checked nothing is
 * appended in it, and what was appended in an earlier one can't be written as published any more once the row has the new
 * epoch: so the end of the stream stands still, and no loss slips in behind the comparison.
 *
 * Several instances may check at once. The row is read before the stream and set only if it still is what was read; whoever comes
 * second begins again and finds nothing to do.
 */
import type pg from "pg";
import { bigint, rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { BEFORE_ALL, compareEntryIds } from "../redis/entry_ids.ts";
import { HIDDEN_EPOCH, SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { redisEpochKey } from "../redis/keys.ts";
import { isBehindSql } from "../stream_offset/stream_offset.ts";
import { OutageError } from "../lifecycle/outage.ts";

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
  readonly lastId: string;
  readonly newEpoch: string;
}

interface Seen {
  readonly epoch: string;
  readonly checkedEpoch: string;
  readonly lastIds: readonly string[];
}

const SEE = new Script(`
#!lua flags=no-writes${SERVER_EPOCH_LUA}
local checked = redis.pcall('GET', ARGV[1])
local seen = { server_epoch(), type(checked) == 'string' and checked or '' }
for _, stream in ipairs(KEYS) do
  local info, last = redis.pcall('XINFO', 'STREAM', stream), '${BEFORE_ALL}'
  -- No stream, or a key of another kind under its name.
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
  seen[#seen + 1] = last
end
return seen
`);

const SET_EPOCH = new Script(`${SERVER_EPOCH_LUA}
if server_epoch() ~= ARGV[1] then return 0 end
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

/** A server loses nothing in one life: a stream that ends earlier than it did was deleted by somebody, and is left as it is. */
function isSameServer({ epoch, newEpoch }: Comparison): boolean {
  return epoch === newEpoch && newEpoch !== HIDDEN_EPOCH;
}

// The time is taken when the row is locked: every publication that was written before it is older.
const SETTLE = statement({ name: "settle_epoch", takes: { found: COMPARISON } }, (p) => `
WITH found AS (
  SELECT * FROM ${p.found()}
), settled AS (
  UPDATE notification.stream_offsets AS known
  SET redis_epoch = found.epoch, updated_at = now(),
    entry_id = CASE WHEN ${isBehindSql("found.last_id", "known.entry_id")} THEN found.last_id ELSE known.entry_id END
  FROM found
  WHERE known.stream = found.stream AND known.entry_id = found.was_id
    AND known.redis_epoch IS NOT DISTINCT FROM found.was_epoch
  RETURNING known.stream, found.was_id, found.last_id, found.is_same_server
), lost AS (
  INSERT INTO notification.repairs (stream, lost_after, lost_up_to, detected_at)
  SELECT stream, last_id, was_id, clock_timestamp() FROM settled
  WHERE ${isBehindSql("last_id", "was_id")} AND is_same_server = 0
)
SELECT FROM settled`);

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
  const { epoch, checkedEpoch, lastIds } = await see(redis, streams);
  for (const [at, stream] of streams.entries()) {
    const row = known[at];
    const comparison = { entryId: "", epoch: "", ...row, stream, lastId: lastIds[at]!, newEpoch: epoch };
    if (row === undefined) {
      await postgres.query(BEGIN({ found: [comparison] }));
      continue;
    }
    const endsEarlier = compareEntryIds(row.entryId, comparison.lastId) > 0;
    if (row.epoch === epoch && !endsEarlier) continue;
    const { rowCount } = await postgres.query(SETTLE({ found: [comparison] }));
    if (rowCount !== 1) return false;
    if (endsEarlier && !isSameServer(comparison)) {
      losses.push({ stream, lostAfter: comparison.lastId, lostUpTo: row.entryId });
    }
  }
  if (checkedEpoch === epoch) return true;
  return await redis.run(SET_EPOCH, [redisEpochKey()], [epoch]) === 1;
}

async function see(redis: RedisConnection, streams: readonly string[]): Promise<Seen> {
  const [epoch, checkedEpoch, ...lastIds] = await redis.run(SEE, streams, [redisEpochKey()]) as [
    string,
    string,
    ...string[],
  ];
  return { epoch, checkedEpoch, lastIds };
}
