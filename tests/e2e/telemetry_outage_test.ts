/**
 * The metrics while a dependency is out, dead or frozen: all others as always, no gauges that need it, and
 * `notification.dependency.unavailable` as the reason.
 */
import assert from "node:assert/strict";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const SCHEDULE = ["notification.route_schedule.depth", "notification.route_schedule.oldest_age_ms"] as const;
const STREAM = ["notification.intent_stream.lag", "notification.intent_stream.oldest_unprocessed_age_ms"] as const;
const PATIENT = {
  NOTIFICATION_REDIS_OPERATION_TIMEOUT: "1s",
  NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "1s",
  // Longer than a busy machine takes for an export: a late one would log a line.
  OTEL_METRIC_EXPORT_INTERVAL: "1000",
  OTEL_METRIC_EXPORT_TIMEOUT: "1000",
};

function gaugesOf(otlp: OtlpReceiver): string[] {
  const names: readonly string[] = [...SCHEDULE, ...STREAM];
  return (otlp.metricExports.at(-1) ?? []).map(({ name }) => name).filter((name) => names.includes(name)).sort();
}

async function untilOut(otlp: OtlpReceiver, dependency: string, gauges: readonly string[]): Promise<void> {
  const value = () => otlp.point("notification.dependency.unavailable", { dependency })?.value;
  const expected = [...gauges].sort().join();
  await eventually(() => value() === 1 && gaugesOf(otlp).join() === expected, {
    timeoutMs: 15_000,
    message: () => `${dependency} ${value()}; ${gaugesOf(otlp)}`,
  });
  await otlp.nextExport();
  assert.equal(gaugesOf(otlp).join(), expected);
  assert.ok((otlp.point("notification.dependency.outages", { dependency })?.value ?? 0) >= 1);
}

async function untilWell(otlp: OtlpReceiver, dependency: string): Promise<void> {
  await eventually(
    () => otlp.point("notification.dependency.unavailable", { dependency })?.value === 0 && gaugesOf(otlp).length === 4,
    { timeoutMs: 15_000 },
  );
}

Deno.test("Redis out: the stream's gauges are absent, the schedule's are present", async () => {
  await using otlp = await OtlpReceiver.start();
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer, env: { ...otlp.env, ...PATIENT } });
  const service = await rig.start();
  await untilWell(otlp, "redis");
  await redisServer.kill("SIGKILL");
  await untilOut(otlp, "redis", SCHEDULE);
  await redisServer.start();
  await untilWell(otlp, "redis");
  await redisServer.kill("SIGSTOP");
  await untilOut(otlp, "redis", SCHEDULE);
  await redisServer.kill("SIGCONT");
  await untilWell(otlp, "redis");
  assert.ok(service.logs.every(({ logger }) => logger !== "open_telemetry"), service.output());
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("PostgreSQL out: the schedule's gauges are absent, the stream's use the copy of the offset", async () => {
  await using otlp = await OtlpReceiver.start();
  await using postgresServer = await startPostgres();
  await using rig = await openRig({ postgresServer, env: { ...otlp.env, ...PATIENT } });
  const service = await rig.start();
  await rig.addIntent();
  await rig.settled();
  await untilWell(otlp, "postgres");
  await postgresServer.stop("immediate");
  await rig.addIntent();
  await rig.addIntent();
  await untilOut(otlp, "postgres", STREAM);
  await eventually(() => otlp.point("notification.intent_stream.lag")?.value === 2);
  await postgresServer.start();
  await untilWell(otlp, "postgres");
  await eventually(() => otlp.point("notification.intent_stream.lag")?.value === 0);
  await postgresServer.kill("SIGSTOP");
  await rig.addIntent();
  await untilOut(otlp, "postgres", STREAM);
  await eventually(() => otlp.point("notification.intent_stream.lag")?.value === 1);
  await postgresServer.kill("SIGCONT");
  await untilWell(otlp, "postgres");
  assert.ok(service.logs.every(({ logger }) => logger !== "open_telemetry"), service.output());
  assert.equal((await service.terminate()).code, 0);
});
