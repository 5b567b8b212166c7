/**
 * An outbound stream, from an entry on → the leases of its entries' routes: missing leases are set, existing ones get
 * their full life again. This is done in bounded pieces, so that Redis answers other clients in between.
 */
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { SERVER_EPOCH_LUA } from "../redis/epoch.ts";
import { RedisError } from "../redis/failures.ts";
import { routeLeaseKey } from "../redis/keys.ts";

/** Entries per call: a few milliseconds of Redis's time. */
const MAX_ENTRIES = 500;
/** A call that took longer than this is followed by smaller ones: entries may be large. */
const LONG_MS = 50;

// An entry that does not name a route is not from this service.
const REBUILD = new Script(`${SERVER_EPOCH_LUA}
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local field, ttl, prefix, rebuilt = ARGV[3], ARGV[4], ARGV[5], 0
for _, entry in ipairs(entries) do
  local values = entry[2]
  for i = 1, #values, 2 do
    if values[i] == field then
      local notification, route = string.match(values[i + 1], '^([^/]+)/(.+)$')
      if notification then
        local key = prefix .. notification .. ':' .. route
        if redis.call('PEXPIRE', key, ttl) == 0 then
          redis.call('SET', key, 'published:' .. entry[1], 'PX', ttl)
          rebuilt = rebuilt + 1
        end
      end
      break
    end
  end
end
return { #entries, rebuilt, #entries > 0 and entries[#entries][1] or '', (server_epoch()) }
`);

export interface RebuildOptions {
  readonly stream: string;
  /** The field that names the route. */
  readonly field: string;
  /** The first entry to look at. */
  readonly from: string;
  readonly leaseTtlMs: number;
  readonly clock: Clock;
  /** Called after each piece. */
  readonly onPiece: () => void;
}

export interface Rebuilt {
  /** Entries looked at. */
  readonly entries: number;
  /** Leases that were missing. */
  readonly leases: number;
  /** The last entry looked at; `undefined` if there was none. */
  readonly upTo: string | undefined;
}

const NOTHING: Rebuilt = { entries: 0, leases: 0, upTo: undefined };

/** Resolves at the end of the stream. @throws RedisError */
export async function rebuildLeases(redis: RedisConnection, options: RebuildOptions): Promise<Rebuilt> {
  const { stream, field, leaseTtlMs, clock, onPiece } = options;
  const limit = new BatchLimit(MAX_ENTRIES);
  const prefix = routeLeaseKey("", "").slice(0, -1);
  let from = options.from;
  let epoch: string | undefined;
  let rebuilt = NOTHING;
  for (;;) {
    const startedAt = clock.monotonic();
    const asked = limit.value;
    let reply: [number, number, string, string];
    try {
      reply = await redis.run(REBUILD, [stream], [from, asked, field, leaseTtlMs, prefix]) as [
        number,
        number,
        string,
        string,
      ];
    } catch (error) {
      // The call took Redis too long: the next one asks for fewer entries, down to one.
      if (!(error instanceof RedisError) || error.code !== "" || asked === 1) throw error;
      limit.reduceTo(asked / 32);
      continue;
    }
    const [entries, leases, upTo] = reply;
    if (epoch !== undefined && reply[3] !== epoch) {
      // Another server may lack the leases that were set before: the search begins again.
      [from, epoch, rebuilt] = [options.from, undefined, NOTHING];
      continue;
    }
    epoch = reply[3];
    if (clock.monotonic() - startedAt > LONG_MS) limit.halve();
    else limit.grow();
    rebuilt = {
      entries: rebuilt.entries + entries,
      leases: rebuilt.leases + leases,
      upTo: entries === 0 ? rebuilt.upTo : upTo,
    };
    onPiece();
    if (entries < asked) return rebuilt;
    from = `(${upTo}`;
  }
}
