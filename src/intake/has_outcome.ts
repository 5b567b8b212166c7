/** The entry at an offset → whether PostgreSQL has an outcome for it. */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";

// Returns the entry's producer and idempotency key, as far as it has them; an empty list if the entry no longer exists.
const KEY_OF_ENTRY = new Script(`
#!lua flags=no-writes
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 then return {} end
local fields, key = found[1][2], { producer = '', idempotency_key = '' }
for i = 1, #fields, 2 do
  if key[fields[i]] == '' and #fields[i + 1] <= 1024 then key[fields[i]] = fields[i + 1] end
end
return { key['producer'], key['idempotency_key'] }
`);

const IS_MALFORMED = statement({ name: "is_malformed", takes: { stream: "text", entry_id: "text" } }, (p) => `
SELECT FROM notification.malformed_intents WHERE stream = ${p.stream} AND stream_entry_id = ${p.entry_id}`);

const HAS_OUTCOME = statement(
  {
    name: "has_outcome",
    takes: { stream: "text", producer: "text", key: "text", retention_ms: "bigint" },
  },
  (p) => `
SELECT
    EXISTS (SELECT FROM notification.records WHERE producer = ${p.producer} AND idempotency_key = ${p.key})
    -- Retention may have deleted the outcome since. The clock is read after the statement's snapshot is taken.
    OR NOT EXISTS (
      SELECT FROM notification.stream_offsets
      WHERE stream = ${p.stream} AND updated_at > clock_timestamp() - ${p.retention_ms} * interval '1 millisecond'
    ) AS known`,
);

export interface HasOutcomeOptions {
  readonly stream: string;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly recordRetentionMs: number;
  readonly malformedRetentionMs: number;
}

/** Also true if the answer can no longer be known: the entry was deleted, or its outcome is past its retention. */
export async function hasOutcome(
  { stream, postgres, redis, recordRetentionMs, malformedRetentionMs }: HasOutcomeOptions,
  entry_id: string,
): Promise<boolean> {
  // This comes first because Redis may be unable to return an entry that was set aside within the time of a command.
  const { rowCount } = await postgres.query(IS_MALFORMED({ stream, entry_id }));
  if (rowCount !== 0) return true;
  const [producer, key] = await redis.run(KEY_OF_ENTRY, [stream], [entry_id]) as [string, string] | [];
  if (producer === undefined || key === undefined) return true;
  const without = (text: string) => text.replaceAll("\0", "");
  const retention_ms = Math.min(recordRetentionMs, malformedRetentionMs);
  const values = { stream, producer: without(producer), key: without(key), retention_ms };
  const { rows } = await postgres.query<{ known: boolean }>(HAS_OUTCOME(values));
  return rows[0]!.known;
}
