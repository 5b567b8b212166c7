/**
 * How many intents, of which kind → so many entries in a stream, made inside Redis a thousand at a time.
 *
 * The order of the fields is always that of FIELDS, so that the floor can read by position; no two numbers or prefixes
 * share a key, and `request_id` is different for every entry.
 */
import type { Redis } from "ioredis";

export const INTENTS = "notification:intents";
export const OUTBOUND = ["gateway:client-events", "mail:delivery_commands"] as const;
export const USERS = 1000;

export interface Filling {
  readonly stream?: string;
  readonly count: number;
  /** Number of the first; default 0. */
  readonly from?: number;
  /** Begins every idempotency key and request id. */
  readonly prefix?: string;
  /** `two_routes` makes a push and an e-mail route; `skipped` one e-mail route that is terminal from birth. */
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

// Ten thousand games whose turns come one after another: keys that lie side by side in no index, nor at random.
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
local seen, distinct, place = {}, 0, '-'
while true do
  local entries = redis.call('XRANGE', KEYS[1], place, '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    for at = 1, #entry[2], 2 do
      local value = entry[2][at + 1]
      if entry[2][at] == 'request_id' and not seen[value] then
        seen[value] = true
        distinct = distinct + 1
      end
    end
    place = '(' .. entry[1]
  end
  if #entries < 1000 then return distinct end
end`;

/** Entries of an outbound stream, and how many different intents they come from. */
export async function countOutbound(redis: Redis, stream: string): Promise<{ entries: number; intents: number }> {
  return { entries: await redis.xlen(stream), intents: await redis.eval(DISTINCT, 1, stream) as number };
}
