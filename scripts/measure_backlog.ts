/**
 * In: nothing, or numbers of live routes and unprocessed entries to measure with (default: 10 and 1,000,000). Out: what the
 * backlog's questions cost on throwaway servers, a line each; these are the figures of docs/observability/README.md.
 * Guaranteed: every time is the median and the worst of 21 runs on warm servers; nothing is left behind.
 */
import { backlogReader } from "../src/backlog/backlog.ts";
import { INTENTS, openStage, type Stage } from "../tests/support/stage.ts";

const RUNS = 21;

if (import.meta.main) {
  const sizes = Deno.args.length > 0 ? Deno.args.map(Number) : [10, 1_000_000];
  for (const size of sizes) await measure(size);
  Deno.exit(0); // the servers end with this process
}

async function measure(size: number): Promise<void> {
  await using stage = await openStage();
  const redis = await stage.connection(60_000);
  await addRoutes(stage, size);
  await addEntries(stage, size);
  const reader = backlogReader({ postgres: stage.pool, redis, stream: INTENTS });
  console.log(`${size.toLocaleString("en")} live routes, ${size.toLocaleString("en")} entries unprocessed`);
  await report("  oldest_age_ms, both channels", () => reader.oldestAgeMs());
  await report("  lag and oldest_unprocessed_age_ms", () => reader.intents());
  await report("  depth, both channels", () => reader.depth());
  await stage.query("UPDATE notification.routes SET updated_at = now() WHERE channel = 'push'");
  await report("  depth, half of the rows just changed (no vacuum yet)", () => reader.depth());
  await report("  oldest_age_ms, the same", () => reader.oldestAgeMs());
}

async function addRoutes(stage: Stage, count: number): Promise<void> {
  for (let done = 0; done < count; done += 100_000) {
    await stage.query(
      `INSERT INTO notification.routes (notification_id, route_id, channel, status, next_attempt_at, max_attempts, recipient)
       SELECT gen_random_uuid(), 'push:user:user-' || n, CASE WHEN n % 2 = 0 THEN 'push' ELSE 'email' END, 'pending',
         now() - n * interval '1 millisecond', 3, 'user:user-' || n
       FROM generate_series(1, $1::int) AS n`,
      [Math.min(100_000, count - done)],
    );
  }
  await stage.query("VACUUM ANALYZE notification.routes");
}

async function addEntries(stage: Stage, count: number): Promise<void> {
  const add = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'notification_type', 'game.turn.ready') end";
  for (let done = 0; done < count; done += 10_000) {
    await stage.redis.eval(add, 1, INTENTS, Math.min(10_000, count - done));
  }
}

async function report(what: string, ask: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const begun = performance.now();
    await ask();
    times.push(performance.now() - begun);
  }
  times.sort((left, right) => left - right);
  const shown = (ms: number) => `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
  console.log(`${what}: ${shown(times[Math.floor(RUNS / 2)]!)}, at worst ${shown(times.at(-1)!)}`);
}
