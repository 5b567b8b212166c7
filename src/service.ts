/**
 * The life of the service: what it opens, what it checks before the loops start, and how it ends. The loops are made
 * and connected in `loops.ts`; they start in the order in which data flows.
 *
 * At the end these are closed: the probe, the loops, the connections to Redis, those to PostgreSQL, and telemetry.
 */
import type pg from "pg";
import { readBacklog } from "./backlog/backlog.ts";
import { reportStatus } from "./backlog/report_status.ts";
import { type BacklogGauges, GAUGE_CONNECTIONS, watchBacklog } from "./backlog/watch_backlog.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import { loopsOf, type RedisConnections } from "./loops.ts";
import { within } from "./lifecycle/bounded_wait.ts";
import { Heartbeats, stuckAfterMs } from "./lifecycle/heartbeats.ts";
import { outageOf } from "./lifecycle/outage.ts";
import { describeDefect, type Loop, runLoop } from "./lifecycle/run_loop.ts";
import { EXIT, type Shutdown } from "./lifecycle/shutdown.ts";
import { startStep, StartUpFailed, StoppedWhileStarting } from "./lifecycle/start_up.ts";
import type { Systemd } from "./lifecycle/systemd.ts";
import type { Catalog } from "./notification/catalog.ts";
import { migrate } from "./postgres/migrate.ts";
import { checkOwnership } from "./postgres/ownership.ts";
import { checkServer, openPool, type PostgresPool } from "./postgres/pool.ts";
import { openProbe, type ProbeListener } from "./probe/listener.ts";
import { checkHandOff } from "./publish/check_hand_off.ts";
import { checkRedis, PASSWORD_NOT_ASKED } from "./redis/check_server.ts";
import { RedisConnection } from "./redis/connection.ts";
import { RedisError, refusesAllWrites } from "./redis/failures.ts";
import { RedisMaster } from "./redis/master.ts";
import { CheckedServers } from "./repair/checked_servers.ts";
import type { Repair } from "./repair/repair.ts";
import { createInstruments } from "./telemetry/instruments.ts";
import { loggerOf } from "./telemetry/logger.ts";
import type { Telemetry } from "./telemetry/open_telemetry.ts";
import { Outages } from "./telemetry/outages.ts";

export interface ServiceOptions {
  readonly config: Config;
  readonly catalog: Catalog;
  /** A unique name of this process in PostgreSQL's sessions and in the consumer lease. */
  readonly processId: string;
  readonly telemetry: Telemetry;
  readonly shutdown: Shutdown;
  readonly systemd: Systemd;
  /** The certificates that the runtime was made to trust, as their files hold them now. */
  readonly authorities: () => readonly string[];
}

/** The part of the pool's size that only the repair loop uses. */
const REPAIR_CONNECTIONS = 1;

/** Runs until the shutdown has closed everything, and returns the process's exit code. */
export async function runService(options: ServiceOptions): Promise<number> {
  const { config, telemetry, shutdown, processId, systemd } = options;
  const { gaugeAnswerMs } = telemetry;
  const logger = loggerOf("service");
  const instruments = createInstruments();
  const outages = new Outages(systemClock);
  const applicationName = `notification-service/${processId}`;
  const master = new RedisMaster();
  const redis = openRedis(config, master);
  const servers = new CheckedServers();
  let postgres: PostgresPool;
  let repairPostgres: PostgresPool;
  try {
    const gaugeConnections = gaugeAnswerMs === undefined ? 0 : GAUGE_CONNECTIONS;
    const maxOpenConns = config.postgres.maxOpenConns - gaugeConnections - REPAIR_CONNECTIONS;
    const admits = (server: string) => servers.admits(server);
    postgres = openPool({ ...config.postgres, maxOpenConns, applicationName, admits });
    repairPostgres = openPool({ ...config.postgres, maxOpenConns: REPAIR_CONNECTIONS, applicationName });
  } catch (error) {
    // The DSN may name a certificate that does not exist.
    logger.error("the configuration was refused", { reason: describeDefect(error) });
    return EXIT.configuration;
  }
  let gauges: BacklogGauges | undefined;
  let exitCode: number = EXIT.ok;
  shutdown.stop.addEventListener("abort", () => systemd.stopping(), { once: true });
  try {
    // Exports every counter as 0 before a loop counts and before a gauge has to be waited for. The SDK's own first
    // export comes an interval later: what happened by then would look like the counters' initial values.
    telemetry.exportMetrics();
    const heartbeats = new Heartbeats({
      stuckAfterMs: stuckAfterMs({
        readBlockTimeoutMs: config.intents.readBlockTimeoutMs,
        userServiceTimeoutMs: config.userService.timeoutMs,
      }),
    });
    const loops = loopsOf(options, { redis, postgres, repairPostgres, servers, instruments, heartbeats });
    // Migrations and the check have no time limit.
    await systemd.whileExtendingTimeout(async () => {
      await checkDependencies(options, { redis, postgres });
      await startStep("repair", () => checkForLosses(loops.repair), { boundMs: Infinity, stop: shutdown.stop });
    });
    if (gaugeAnswerMs !== undefined) {
      gauges = watchBacklog(config, { answerMs: gaugeAnswerMs, applicationName, master });
    }
    const probe = listen(config.probe);
    reportToSystemd(options, { redis, postgres, heartbeats });
    exitCode = await runLoops(loops.inOrder, { shutdown, probe, heartbeats, outages });
  } catch (error) {
    exitCode = exitCodeFor(error);
  }
  // Does nothing if a signal or a loop with an unexpected error has begun the shutdown.
  shutdown.begin("a loop or the start-up failed");
  await within(shutdown.leftMs / 4, Promise.all(Object.values(redis).map((connection) => connection.close())));
  const pools = [postgres, repairPostgres, gauges];
  await Promise.all(pools.map((pool) => pool?.close(shutdown.leftMs / 4)));
  // The other half of the time is for a slow reader of the log.
  await telemetry.shutdown(shutdown.leftMs / 2);
  logger.info("stopped", { exit_code: exitCode });
  return exitCode;
}

/** One connection for each task that must not wait for another, all to one server. */
function openRedis({ redis, intents }: Config, master: RedisMaster): RedisConnections {
  return {
    intake: new RedisConnection(redis, { role: "intake", master }),
    blocking: new RedisConnection(redis, { role: "blocking-read", blockMs: intents.readBlockTimeoutMs, master }),
    push: new RedisConnection(redis, { role: "push", master }),
    email: new RedisConnection(redis, { role: "email", master }),
    repair: new RedisConnection(redis, { role: "repair", master }),
  };
}

async function checkDependencies(
  { config, shutdown }: ServiceOptions,
  { redis, postgres }: { redis: RedisConnections; postgres: pg.Pool },
): Promise<void> {
  const logger = loggerOf("service");
  const boundMs = config.process.startupTimeoutMs;
  const step = <Value>(dependency: string, check: () => Promise<Value>, bound = boundMs) =>
    startStep(dependency, check, { boundMs: bound, stop: shutdown.stop });

  await step("redis", async () => {
    await Promise.all(Object.values(redis).map((connection) => connection.connect()));
    if (!redis.intake.asksForPassword) {
      logger.warn("questionable configuration", { warning: PASSWORD_NOT_ASKED });
    }
    for (const warning of await checkRedis(redis.intake)) {
      logger.warn("redis can lose what it acknowledged", { warning });
    }
    await checkHandOff(redis.push);
  });
  await step("postgres", () => checkServer(postgres));
  const { applied } = await step(
    "migrations",
    () => migrate(postgres, { lockTimeoutMs: boundMs, signal: shutdown.stop }),
    Infinity,
  );
  if (applied.length > 0) logger.info("migrated", { applied });
  await step("ownership", () => checkOwnership(postgres));
}

function listen(address: Config["probe"]): ProbeListener {
  try {
    return openProbe(address);
  } catch (error) {
    // The address is in use, or does not belong to this machine, or this user may not open it.
    const { hostname, port } = address;
    throw new StartUpFailed("internal_http", `Can't listen on ${hostname}:${port}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Reports to systemd: that the service is ready, how much is waiting, and signs of life while no loop is stuck. */
function reportToSystemd(
  { config, shutdown, systemd }: ServiceOptions,
  { redis, postgres, heartbeats }: { redis: RedisConnections; postgres: pg.Pool; heartbeats: Heartbeats },
): void {
  systemd.ready();
  systemd.feedWatchdog({
    stuckLoop: () => heartbeats.stuckLoop(),
    onStuck: (loop) => loggerOf(loop).error("the loop is stuck: the watchdog is not fed any more"),
  });
  const read = () => readBacklog({ postgres, redis: redis.intake, stream: config.intents.stream });
  void reportStatus({ systemd, read, stop: shutdown.stop, clock: systemClock });
}

/** Looks for what the stores lost while no instance ran, before anything is accepted or published. */
async function checkForLosses(repair: Repair): Promise<void> {
  try {
    await repair.check();
  } catch (error) {
    const outage = outageOf(error);
    if (outage === undefined) throw error;
    // The repair loop tries again, and nothing is published before that.
    if (error instanceof RedisError && refusesAllWrites(error.code)) return;
    const reason = `The search for lost data failed: ${outage.message}`;
    throw new StartUpFailed(outage.dependency, reason, { cause: error });
  }
}

/** Resolves with the exit code when all loops have ended, which they do when the shutdown begins. */
async function runLoops(
  loops: readonly Loop[],
  { shutdown, probe, heartbeats, outages }: {
    shutdown: Shutdown;
    probe: ProbeListener;
    heartbeats: Heartbeats;
    outages: Outages;
  },
): Promise<number> {
  const { abandon } = shutdown;
  // The probe stops first, so that a load balancer sees that this instance ends; then the loops end.
  const stop = signalAfter(shutdown.stop, () => probe.close(shutdown.leftMs / 10));
  let hasDefect = false;
  const end = (loop: Loop) => {
    hasDefect = true;
    shutdown.begin(`${loop.name} met an unexpected error`);
  };
  await Promise.all(
    loops.map((loop) =>
      runLoop(loop, { stop, abandon, clock: systemClock, outages, heartbeats, onDefect: () => end(loop) })
    ),
  );
  return hasDefect ? EXIT.unexpected : EXIT.ok;
}

/** Returns a signal that aborts when `work` has ended; `work` begins when `signal` aborts. */
function signalAfter(signal: AbortSignal, work: () => Promise<void>): AbortSignal {
  const after = new AbortController();
  const onAbort = () => work().finally(() => after.abort());
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return after.signal;
}

function exitCodeFor(error: unknown): number {
  const logger = loggerOf("service");
  if (error instanceof StoppedWhileStarting) return EXIT.ok;
  if (error instanceof StartUpFailed) {
    logger.error("start-up failed", { dependency: error.dependency, reason: error.message });
    return EXIT.dependency;
  }
  logger.error("unexpected error", { reason: describeDefect(error) });
  return EXIT.unexpected;
}
