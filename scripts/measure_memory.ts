/**
 * The executable in NOTIFICATION_SERVICE_BIN (or the service from source), and optionally `--intents <number>` (default
 * 10,000) → its peak resident memory while it processes entries of 100 MiB, then a backlog of this many intents with
 * payloads of 200 KiB. Exit code 1 if a peak is more than 400 MB, or if an entry or a route gets no outcome.
 */
import { memoryOf } from "./process_memory.ts";
import { openRigOn, type Rig } from "../tests/support/service_rig.ts";
import type { ServiceProcess } from "../tests/support/service_process.ts";
import { eventually } from "../tests/support/wait.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";
import { startUserService } from "./servers/user_service.ts";

const MAX_RSS_MB = 400;
const ENTRY_BYTES = 100 * 1024 * 1024;
const ENTRIES = 3;
const PAYLOAD_BYTES = 200 * 1024;
/** Intents that are added by one call: 20 MB. */
const STEP = 100;
const LIMIT_MS = 600_000;

if (import.meta.main) {
  const intents = Deno.args[0] === "--intents" ? Number(Deno.args[1]) : 10_000;
  if (!(intents > 0)) {
    console.error("Usage: deno task measure:memory [--intents <number>]");
    Deno.exit(64);
  }
  const peaks = await measure(intents);
  for (const { what, mb, seconds } of peaks) {
    console.log(`${what}: ${mb} MB resident at most (allowed: ${MAX_RSS_MB}), ${seconds} s`);
  }
  Deno.exit(peaks.every(({ mb }) => mb <= MAX_RSS_MB) ? 0 : 1);
}

interface Peak {
  readonly what: string;
  readonly mb: number;
  readonly seconds: number;
}

async function measure(intents: number): Promise<Peak[]> {
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using users = startUserService({ users: [["user-1", { email: "user-1@example.com" }]] });
  await using rig = await openRigOn({
    ...{ keySpace: redis, users },
    dsn: await postgres.createDatabase(),
    env: { NOTIFICATION_LOG_LEVEL: "warn" },
  });
  return [
    await peakOf(rig, {
      what: `${ENTRIES} entries of ${ENTRY_BYTES / 1024 / 1024} MiB`,
      add: () => addLargeEntries(rig),
      outcomes: { malformed: ENTRIES, published: 0 },
    }),
    await peakOf(rig, {
      what: `${intents.toLocaleString("en")} intents of ${PAYLOAD_BYTES / 1024} KiB`,
      add: () => addIntents(rig, intents),
      outcomes: { malformed: ENTRIES, published: 2 * intents },
    }),
  ];
}

/**
 * Adds a backlog, starts one instance, waits until it is finished, and returns its peak. @throws Error if an outcome is
 * missing
 */
async function peakOf(
  rig: Rig,
  { what, add, outcomes }: {
    what: string;
    add: () => Promise<void>;
    outcomes: { readonly malformed: number; readonly published: number };
  },
): Promise<Peak> {
  await add();
  const begun = performance.now();
  const service = await rig.start();
  await eventually(async () => {
    const [found] = await rig.query<{ malformed: number; published: number }>(
      `SELECT (SELECT count(*)::int FROM notification.malformed_intents) AS malformed,
              (SELECT count(*)::int FROM notification.routes WHERE status = 'published') AS published`,
    );
    return found?.malformed === outcomes.malformed && found.published === outcomes.published;
  }, { timeoutMs: LIMIT_MS, intervalMs: 200, message: () => `${what} were not finished\n${service.output()}\n` });
  const seconds = Math.round((performance.now() - begun) / 1000);
  const mb = await peakMb(service);
  await service.terminate();
  await rig.redis.del(rig.intentsStream);
  return { what, mb, seconds };
}

async function addLargeEntries(rig: Rig): Promise<void> {
  const add = "redis.call('XADD', KEYS[1], '*', 'producer', 'p', 'payload_json', string.rep('x', ARGV[1]))";
  for (let done = 0; done < ENTRIES; done++) await rig.redis.eval(add, 1, rig.intentsStream, ENTRY_BYTES);
}

async function addIntents(rig: Rig, intents: number): Promise<void> {
  const add = `for i = 1, ARGV[1] do
    redis.call('XADD', KEYS[1], '*', 'notification_type', 'game.turn.ready', 'producer', 'game-master',
      'audience_kind', 'user', 'recipient_user_ids_json', '["user-1"]', 'idempotency_key', ARGV[2] .. '-' .. i,
      'occurred_at_ms', '1767225600000',
      'payload_json', '{"game_id":"g","game_name":"' .. string.rep('x', ARGV[3]) .. '","turn_number":1}')
  end`;
  for (let done = 0; done < intents; done += STEP) {
    await rig.redis.eval(add, 1, rig.intentsStream, Math.min(STEP, intents - done), done, PAYLOAD_BYTES);
  }
}

/** The kernel's own figure, which includes short peaks. */
async function peakMb({ pid }: ServiceProcess): Promise<number> {
  return Math.round((await memoryOf(pid)).peakMb);
}
