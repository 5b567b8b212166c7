/**
 * The executable in NOTIFICATION_SERVICE_BIN (or the service from source), `--mib <number>` (default 512) and
 * `--minutes <number>` (default 30) → published intents and the peaks of resident memory and of the cgroup, of one
 * instance in a cgroup with this much memory and no swap. The backlog of 200 KiB payloads never ends, all traces are
 * exported, and the collector accepts connections but never answers.
 *
 * Exit code 1 if the kernel killed the instance, if it ended by itself, or if fewer than ten intents a second were
 * published. Needs root and a writable cgroup file system (version 1 or 2).
 */
import { MemoryGroup } from "./servers/memory_group.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";
import { startUserService } from "./servers/user_service.ts";
import { openRigOn, type Rig } from "../tests/support/service_rig.ts";
import type { ServiceProcess } from "../tests/support/service_process.ts";

const PAYLOAD_BYTES = 200 * 1024;
/** The number of waiting intents: 60 MB. */
const BACKLOG = 300;
/** This many of the newest entries of each outbound stream are kept. */
const KEPT_ENTRIES = 100;
const STEP_MS = 200;
const REPORT_MS = 60_000;
const MIN_RATE = 10;

if (import.meta.main) {
  const option = (name: string, otherwise: number) => {
    const at = Deno.args.indexOf(name);
    return at < 0 ? otherwise : Number(Deno.args[at + 1]);
  };
  const [mib, minutes] = [option("--mib", 512), option("--minutes", 30)];
  if (!(mib > 0 && minutes > 0)) {
    console.error("Usage: scripts/measure_container.ts [--mib <number>] [--minutes <number>]");
    Deno.exit(64);
  }
  Deno.exit(await measure(mib, minutes) ? 0 : 1);
}

async function measure(mib: number, minutes: number): Promise<boolean> {
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using users = startUserService({ users: [["user-1", { email: "user-1@example.com" }]] });
  await using collector = silentCollector();
  await using rig = await openRigOn({
    ...{ keySpace: redis, users },
    dsn: await postgres.createDatabase(),
    env: {
      NOTIFICATION_LOG_LEVEL: "warn",
      NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: String(KEPT_ENTRIES),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
      OTEL_LOGS_EXPORTER: "otlp",
    },
  });
  await using group = await MemoryGroup.create(mib);
  const service = await rig.spawn({}, { prefix: group.prefix });
  await service.ready();
  const begun = performance.now();
  const secondsOf = () => Math.round((performance.now() - begun) / 1000);
  let added = 0;
  let nextReportMs = REPORT_MS;
  const report = async () => {
    const published = await publishedIntents(rig);
    const { rssMb, groupMb } = { rssMb: await peakMb(service), groupMb: await group.peakMb() };
    console.log(`${secondsOf()} s: ${published} intents, at most ${rssMb} MB resident, ${groupMb} MB in the cgroup`);
    return published;
  };
  let published = 0;
  while (performance.now() - begun < minutes * 60_000 && service.exitCode === undefined) {
    added += await keepBacklog(rig, added);
    if (performance.now() - begun > nextReportMs) {
      published = await report();
      nextReportMs += REPORT_MS;
    }
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  if (service.exitCode === undefined) published = await report();
  const kills = await group.kills();
  const hasPassed = service.exitCode === undefined && kills === 0 && published >= MIN_RATE * secondsOf();
  console.log(`killed by the kernel: ${kills} times; ended by itself: ${service.exitCode ?? "no"}`);
  if (!hasPassed) console.log(service.output());
  const { code } = await service.terminate();
  console.log(`exit code after SIGTERM: ${code}`);
  return hasPassed && code === 0;
}

/** Accepts connections, discards requests and never answers. */
function silentCollector(): AsyncDisposable & { readonly port: number } {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    await request.body?.cancel();
    return await new Promise<Response>(() => {});
  });
  return { port: server.addr.port, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/**
 * Adds intents until the backlog is full, and trims what has been read from the intent stream and the mail stream.
 * Returns the number of added intents.
 */
async function keepBacklog(rig: Rig, from: number): Promise<number> {
  const [offset] = await rig.query<{ entry_id: string }>(
    "SELECT entry_id FROM notification.stream_offsets WHERE stream = $1",
    [rig.intentsStream],
  );
  if (offset !== undefined) await rig.redis.call("XTRIM", rig.intentsStream, "MINID", offset.entry_id);
  await rig.redis.xtrim("mail:delivery_commands", "MAXLEN", KEPT_ENTRIES);
  const missing = Math.max(0, BACKLOG - await rig.redis.xlen(rig.intentsStream));
  const add = `for i = 1, ARGV[1] do
    redis.call('XADD', KEYS[1], '*', 'notification_type', 'game.turn.ready', 'producer', 'game-master',
      'audience_kind', 'user', 'recipient_user_ids_json', '["user-1"]', 'idempotency_key', 'key-' .. (ARGV[2] + i),
      'occurred_at_ms', '1767225600000', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'payload_json', '{"game_id":"g","game_name":"' .. string.rep('x', ARGV[3]) .. '","turn_number":1}')
  end`;
  await rig.redis.eval(add, 1, rig.intentsStream, missing, from, PAYLOAD_BYTES);
  return missing;
}

async function publishedIntents(rig: Rig): Promise<number> {
  const [found] = await rig.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM notification.routes WHERE status = 'published' AND channel = 'push'",
  );
  return found!.count;
}

async function peakMb({ pid }: ServiceProcess): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Math.round(Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1.024 / 1000);
}
