/**
 * A number and kind of intents → entries in a stream, generated inside Redis in steps of a thousand.
 *
 * The order of the fields is fixed, so that the floor can read them by position. Each combination of prefix and number
 * has a unique idempotency key and `request_id`.
 */
import type { Redis } from "ioredis";

export const INTENTS = "notification:intents";
export const OUTBOUND = ["gateway:client-events", "mail:delivery_commands"] as const;
export const USERS = 1000;

export interface Filling {
  readonly stream?: string;
  readonly count: number;
  /** The number of the first intent; default 0. */
  readonly from?: number;
  /** Part of every idempotency key and request id. */
  readonly prefix?: string;
  /** `two_routes`: a push and an e-mail route; `skipped`: one e-mail route, which is skipped at its acceptance. */
  readonly kind?: keyof typeof KINDS;
}

const KINDS = {
  two_routes: ["game.turn.ready", "game-master", "user-", `"turn_number":`],
  skipped: [
    "lobby.invite.expired",
    "game-lobby",
    "mute-",
    `"invitee_user_id":"u1","invitee_name":"Una","turn_number":`,
  ],
} as const;

const CHUNK = 1000;

// Ten thousand games with consecutive turns: successive keys are not neighbours in an index, but are not random either.
const FILL = `
for n = tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]) - 1 do
  local game, turn = ARGV[3] .. '-' .. n % 10000, math.floor(n / 10000) + 1
  redis.call('XADD', KEYS[1], '*',
    'notification_type', ARGV[4], 'producer', ARGV[5], 'audience_kind', 'user',
    'recipient_user_ids_json', '["' .. ARGV[6] .. n % ${USERS} .. '"]',
    'idempotency_key', 'game-' .. game .. '-turn-' .. turn,
    'occurred_at_ms', '1767225600000',
    'payload_json', '{"game_id":"' .. game .. '","game_name":"A nice game",' .. ARGV[7] .. turn .. '}',
    'request_id', ARGV[3] .. '-' .. n)
end`;

export async function fill(redis: Redis, filling: Filling): Promise<void> {
  const { stream = INTENTS, count, from = 0, prefix = "g", kind = "two_routes" } = filling;
  for (let done = 0; done < count; done += CHUNK) {
    await redis.eval(FILL, 1, stream, from + done, Math.min(CHUNK, count - done), prefix, ...KINDS[kind]);
  }
}

// Counts the distinct request ids of a stream.
const DISTINCT = `
local seen, distinct, start = {}, 0, '-'
while true do
  local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    for at = 1, #entry[2], 2 do
      local value = entry[2][at + 1]
      if entry[2][at] == 'request_id' and not seen[value] then
        seen[value] = true
        distinct = distinct + 1
      end
    end
    start = '(' .. entry[1]
  end
  if #entries < 1000 then return distinct end
end`;

/** Returns the number of entries of an outbound stream, and the number of different intents among them. */
export async function countOutbound(redis: Redis, stream: string): Promise<{ entries: number; intents: number }> {
  return { entries: await redis.xlen(stream), intents: await redis.eval(DISTINCT, 1, stream) as number };
}
