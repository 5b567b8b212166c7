/**
 * The executable in NOTIFICATION_SERVICE_BIN (or the service from source) → the time from its start until /readyz
 * answers, with a migrated database, and its resident memory after some idle time, in five runs. Exit code 1 if the
 * fastest start took more than a second (the fastest, because other load on the machine only makes starts slower), or
 * if the median of the memory is more than 160 MB.
 */
import { median } from "./bench/statistics.ts";
import { memoryOf } from "./process_memory.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { openRigOn } from "../tests/support/service_rig.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";
import { startUserService } from "./servers/user_service.ts";

const RUNS = 5;
const IDLE_MS = 5000;
const MAX_START_MS = 1000;
const MAX_RSS_MB = 160;

if (import.meta.main) {
  const { startMs, medianStartMs, rssMb } = await measure();
  console.log(
    `start to /readyz: ${startMs} ms, median ${medianStartMs} ms (at most ${MAX_START_MS}); ` +
      `idle: ${rssMb} MB resident (at most ${MAX_RSS_MB})`,
  );
  Deno.exit(startMs <= MAX_START_MS && rssMb <= MAX_RSS_MB ? 0 : 1);
}

async function measure(): Promise<{ startMs: number; medianStartMs: number; rssMb: number }> {
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using users = startUserService({});
  await using rig = await openRigOn({ keySpace: redis, dsn: await postgres.createDatabase(), users });
  await (await rig.start()).terminate(); // the first start migrates the database
  const starts: number[] = [];
  const sizes: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const begun = performance.now();
    const service = await rig.start();
    starts.push(Math.round(performance.now() - begun));
    await sleep(IDLE_MS);
    sizes.push(Math.round((await memoryOf(service.pid)).residentMb));
    await service.terminate();
  }
  return { startMs: Math.min(...starts), medianStartMs: median(starts), rssMb: median(sizes) };
}
