/**
 * Nothing, or sizes: numbers of terminal routes and outbound entries (default: 1,000,000) → the duration of repairs
 * with temporary servers, one line for each. These are the figures in docs/benchmarks.md, "Repairs".
 *
 * The service runs from source with its default configuration. Nothing is left behind.
 */
import { systemClock } from "../src/clock.ts";
import { RedisConnection } from "../src/redis/connection.ts";
import { streamOffsetKey } from "../src/redis/keys.ts";
import { rebuildLeases } from "../src/repair/rebuild_leases.ts";
import { openRig, type Rig } from "../tests/support/rig.ts";
import { eventually } from "../tests/support/wait.ts";
import { fill } from "./bench/fill.ts";
import { startRedis } from "./servers/redis.ts";

const PUSH = "gateway:client-events";
/** The number of newest routes whose entries are lost: about as many as Redis may lose in a second. */
const LOST = 1_000;
/** Intents for one measurement of the publishing rate, two routes each. */
const STRETCH = 30_000;
/** The time of the first filled record and entry, in Unix milliseconds; older than all other rows. */
const FIRST_MS = 1_700_000_000_000;
const WAIT_MS = 1_800_000;
const LEASE_TTL_MS = 604_800_000;

// Appends entries like those of the service.
const FILL_ENTRIES = `
for n = tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]) - 1 do
  local id = string.format('%012x', ${FIRST_MS} + n)
  local notification = string.sub(id, 1, 8) .. '-' .. string.sub(id, 9) .. '-7000-8000-0000' .. string.format('%08x', n)
  redis.call('XADD', KEYS[1], string.format('%.0f-0', ${FIRST_MS} + n), 'user_id', 'user-' .. n % 1000,
    'event_type', 'game.turn.ready', 'event_id', notification .. '/push:user:user-' .. n % 1000,
    'payload_bytes', '{"game_id":"g-' .. n % 10000 .. '","game_name":"A nice game","turn_number":7}', 'occurred_at_ms', '1767225600000')
end`;

if (import.meta.main) {
  const sizes = Deno.args.length > 0 ? Deno.args.map(Number) : [1_000_000];
  for (const size of sizes) {
    await measureRepair(size);
    await measureLeases(size);
  }
  Deno.exit(0); // the guards end the servers
}

/**
 * Redis has lost the newest entries of the push stream. Measures one repair without other work, and one during other
 * work.
 */
async function measureRepair(size: number): Promise<void> {
  await using redisServer = await startRedis();
  await using rig = await openRig({
    redisServer,
    otherUsers: (id) => ({ email: `${id}@example.com`, preferred_language: "en" }),
    env: {
      NOTIFICATION_LOG_LEVEL: "warn",
      NOTIFICATION_USER_SERVICE_CACHE_TTL: undefined,
    },
  });
  await (await rig.start()).terminate();
  await fillRoutes(rig, size);
  console.log(`${grouped(size)} published routes, ${grouped(LOST)} of them lost`);

  await detect(rig, size);
  const service = await rig.start();
  const startedMs = performance.now();
  await untilPutBack(rig);
  await untilNothingWaits(rig);
  console.log(`  the lost ones published again after ${seconds(performance.now() - startedMs)}`);
  await untilFinished(rig);
  console.log(`  whole repair, without other work: ${seconds(performance.now() - startedMs)}`);

  for (let run = 0; run < 3; run++) console.log(`  no repair: ${await publishingRate(rig, `before-${run}`)}`);
  await detect(rig, size);
  await untilBegun(rig);
  const besideMs = performance.now();
  for (let run = 0; !await isFinished(rig); run++) {
    const rate = await publishingRate(rig, `beside-${run}`);
    console.log(`  beside the repair: ${rate}${await isFinished(rig) ? " (it ended meanwhile)" : ""}`);
  }
  console.log(`  whole repair, beside this work: at most ${seconds(performance.now() - besideMs)}`);
  console.log(`  no repair: ${await publishingRate(rig, "after")}`);
  await service.terminate();
}

/**
 * Moves the newest filled routes into the lost range of the push stream, and inserts a repair of this range, as the
 * detection of a loss does.
 */
async function detect(rig: Rig, size: number): Promise<void> {
  const records = size / 2;
  await rig.query("DELETE FROM notification.repairs");
  await rig.query(
    `UPDATE notification.routes SET published_entry_id = ($1::bigint + n) || '-0', updated_at = now()
     FROM generate_series($2::bigint, $3::bigint) AS n
     WHERE notification_id = (lpad(to_hex($1::bigint + n), 12, '0') || '700080000000' || lpad(to_hex(n), 8, '0'))::uuid
       AND channel = 'push'`,
    [FIRST_MS, records - LOST, records - 1],
  );
  await rig.query(
    "INSERT INTO notification.repairs (stream, lost_after, lost_up_to, detected_at) VALUES ($1, $2, $3, clock_timestamp())",
    [PUSH, `${FIRST_MS + records - LOST - 1}-0`, `${FIRST_MS + records - 1}-0`],
  );
}

/** Adds a number of intents at once, and returns the rate at which their routes are published. */
async function publishingRate(rig: Rig, prefix: string): Promise<string> {
  const before = await rig.redis.xlen(PUSH);
  const begunMs = performance.now();
  await fill(rig.redis, { count: STRETCH, prefix });
  await eventually(async () => await rig.redis.xlen(PUSH) >= before + STRETCH, { timeoutMs: WAIT_MS });
  await untilNothingWaits(rig);
  return `${grouped(Math.round(2 * STRETCH / (performance.now() - begunMs) * 1000))} routes published a second`;
}

/**
 * Waits until the repair has begun, because the repair loop searches for repairs of other instances only every ten
 * seconds.
 */
async function untilBegun(rig: Rig): Promise<void> {
  const begun = () => rig.query("SELECT FROM notification.repairs WHERE routes > 0 OR finished_at IS NOT NULL");
  await eventually(async () => (await begun()).length === 1, { timeoutMs: WAIT_MS });
}

async function untilPutBack(rig: Rig): Promise<void> {
  await eventually(
    async () => (await rig.query("SELECT FROM notification.repairs WHERE routes = $1", [LOST])).length === 1,
    {
      timeoutMs: WAIT_MS,
    },
  );
}

async function untilNothingWaits(rig: Rig): Promise<void> {
  const live = () => rig.query("SELECT FROM notification.routes WHERE next_attempt_at IS NOT NULL LIMIT 1");
  await eventually(async () => (await live()).length === 0, { timeoutMs: WAIT_MS });
}

async function isFinished(rig: Rig): Promise<boolean> {
  return (await rig.query("SELECT FROM notification.repairs WHERE finished_at IS NULL")).length === 0;
}

async function untilFinished(rig: Rig): Promise<void> {
  await eventually(() => isFinished(rig), { timeoutMs: WAIT_MS });
}

async function fillRoutes(rig: Rig, size: number): Promise<void> {
  const portion = 100_000;
  for (let from = 0; from < size / 2; from += portion) {
    await rig.query(
      `WITH made AS (
         INSERT INTO notification.records (notification_id, occurred_at, notification_type, producer, audience_kind, idempotency_key,
           request_fingerprint, stream, stream_entry_id, recipient_user_ids, payload)
         SELECT (lpad(to_hex($3::bigint + n), 12, '0') || '700080000000' || lpad(to_hex(n), 8, '0'))::uuid, now(),
           'game.turn.ready', 'game-master', 'user', 'record-' || n, '\\x00', 'notification:intents', ($3::bigint + n) || '-0',
           '["u"]', '{"game_id":"g","game_name":"n","turn_number":1}'
         FROM generate_series($1::bigint, $2::bigint) AS n RETURNING notification_id, stream_entry_id
       )
       INSERT INTO notification.routes (notification_id, route_id, channel, status, max_attempts, attempt_count, recipient, recipient_email,
         published_entry_id)
       SELECT notification_id, channel || ':user:u', channel, 'published', 3, 1, 'user:u', 'u@example.com', stream_entry_id
       FROM made, unnest(ARRAY['push', 'email']) AS channel`,
      [from, Math.min(size / 2, from + portion) - 1, FIRST_MS],
    );
  }
  await rig.query("VACUUM ANALYZE notification.routes");
}

/**
 * PostgreSQL has lost all rows. Measures how long it takes to set the leases of a whole stream, and the delay of
 * another client that uses Redis continuously.
 */
async function measureLeases(size: number): Promise<void> {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  for (let from = 0; from < size; from += 10_000) {
    await rig.redis.eval(FILL_ENTRIES, 1, PUSH, from, Math.min(10_000, size - from));
  }
  const { host, port, password } = redisServer;
  const redis = new RedisConnection(
    { host, port, db: 0, operationTimeoutMs: 2_000, password: { reveal: () => password } },
    { role: "measure" },
  );
  await redis.connect();
  await rig.redis.config("SET", "slowlog-max-len", 1_000_000);
  await rig.redis.config("SET", "slowlog-log-slower-than", 1_000);
  await rig.redis.call("SLOWLOG", "RESET");
  await rig.redis.call("CONFIG", "RESETSTAT");
  const stop = new AbortController();
  const waits = pingUntil(rig, stop.signal);
  const begunMs = performance.now();
  const options = { stream: PUSH, field: "event_id", from: "0", leaseTtlMs: LEASE_TTL_MS, clock: systemClock };
  const { entries, leases } = await rebuildLeases(redis, { ...options, onPiece: () => {} });
  const tookMs = performance.now() - begunMs;
  stop.abort();
  const pings = (await waits).sort((left, right) => left - right);
  const calls = (await rig.redis.call("SLOWLOG", "GET", "-1") as [number, number, number][]).map(([, , us]) =>
    us / 1000
  );
  const stats = String(await rig.redis.call("INFO", "commandstats"));
  const [, count = "", meanUs = ""] = /cmdstat_evalsha:calls=(\d+),.*?usec_per_call=([\d.]+)/.exec(stats) ?? [];
  console.log(`${grouped(entries)} outbound entries, ${grouped(leases)} leases set`);
  console.log(
    `  ${seconds(tookMs)}, in ${count} calls of ${(Number(meanUs) / 1000).toFixed(1)} ms, the longest ${
      Math.max(0, ...calls).toFixed(1)
    } ms`,
  );
  console.log(
    `  another client's PING meanwhile: ${pings[pings.length >> 1]!.toFixed(1)} ms, at worst ${
      pings.at(-1)!.toFixed(1)
    } ms`,
  );

  // Again, when all leases exist, by a start of the service that finds PostgreSQL behind Redis.
  await redis.close();
  await (await rig.start()).terminate();
  await rig.query("UPDATE notification.stream_offsets SET entry_id = '0-0' WHERE stream = $1", [PUSH]);
  await rig.redis.hset(streamOffsetKey(PUSH), "entry_id", `${FIRST_MS + size - 1}-0`, "entries_read", "");
  const startMs = performance.now();
  const service = await rig.spawn();
  const find = (begin: string) => service.logs.find(({ message }) => String(message).startsWith(begin));
  await eventually(() => find("consuming"), { timeoutMs: WAIT_MS });
  const took = seconds(performance.now() - startMs);
  console.log(
    `  a start that does it, all leases there: ${took} (${find("PostgreSQL lost commits")?.["entries"]} entries)`,
  );
  await service.terminate();
}

async function pingUntil(rig: Rig, signal: AbortSignal): Promise<number[]> {
  const waits: number[] = [];
  while (!signal.aborted) {
    const askedMs = performance.now();
    await rig.redis.ping();
    waits.push(performance.now() - askedMs);
    await systemClock.sleep(2);
  }
  return waits;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function grouped(count: number): string {
  return count.toLocaleString("en");
}
