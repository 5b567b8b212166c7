/**
 * The service's loops, and what connects them: the relay, calls from one loop to another, and the stores they share.
 */
import type pg from "pg";
import { type Clock, systemClock } from "./clock.ts";
import { createIntakeEvents } from "./intake/events.ts";
import { IntentConsumer } from "./intake/intent_consumer.ts";
import type { Config } from "./config/config.ts";
import type { Heartbeats } from "./lifecycle/heartbeats.ts";
import type { Loop } from "./lifecycle/run_loop.ts";
import type { Shutdown } from "./lifecycle/shutdown.ts";
import type { Catalog } from "./notification/catalog.ts";
import type { Channel } from "./notification/route.ts";
import { createPublishEvents } from "./publish/events.ts";
import { OutcomeWriter } from "./publish/outcome_writer.ts";
import { Publisher } from "./publish/publisher.ts";
import type { RedisConnection } from "./redis/connection.ts";
import { Relay } from "./relay/relay.ts";
import type { CheckedServers } from "./repair/checked_servers.ts";
import { createRepairEvents } from "./repair/events.ts";
import { Repair } from "./repair/repair.ts";
import { RetentionCleaner } from "./retention/cleaner.ts";
import { createRetentionEvents } from "./retention/events.ts";
import type { Instruments } from "./telemetry/instruments.ts";
import type { Telemetry } from "./telemetry/open_telemetry.ts";
import { UserService } from "./user_service/client.ts";

/** One connection for each task that must not wait for another. */
export type RedisConnections = Readonly<Record<"intake" | "blocking" | "push" | "email" | "repair", RedisConnection>>;

export interface LoopsOptions {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly processId: string;
  readonly shutdown: Pick<Shutdown, "abandon">;
  readonly telemetry: Pick<Telemetry, "tracing">;
  /** For the User Service's certificate. */
  readonly authorities: () => readonly string[];
}

export interface Parts {
  readonly redis: RedisConnections;
  readonly postgres: pg.Pool;
  /** Also connects to servers that are not checked yet. */
  readonly repairPostgres: pg.Pool;
  readonly servers: CheckedServers;
  readonly instruments: Instruments;
  readonly heartbeats: Heartbeats;
}

export interface Loops {
  /** In the order in which data flows. */
  readonly inOrder: readonly Loop[];
  /** The repair loop, one of `inOrder`. */
  readonly repair: Repair;
}

export function loopsOf(
  { config, catalog, processId, shutdown, telemetry: { tracing }, authorities }: LoopsOptions,
  { redis, postgres, repairPostgres, servers, instruments, heartbeats }: Parts,
): Loops {
  const clock: Clock = systemClock;
  const { publish, retry, retention, intents } = config;
  const relay = new Relay(clock);

  const observe = (durationMs: number, outcome: string) => {
    instruments.lookUp.record(durationMs / 1000, { outcome });
    // A batch may need thousands of look-ups from a slow User Service.
    heartbeats.beat("intent_consumer");
  };
  const consumer = new IntentConsumer({
    ...intents,
    processId,
    recordRetentionMs: retention.recordMs,
    malformedRetentionMs: retention.malformedMs,
    catalog,
    administratorEmails: config.administratorEmails,
    maxAttempts: { push: retry.pushMaxAttempts, email: retry.emailMaxAttempts },
    postgres,
    redis: redis.intake,
    blockingRedis: redis.blocking,
    userService: new UserService(config.userService, { clock, observe, authorities }),
    relay,
    events: createIntakeEvents({ stream: intents.stream, catalog, instruments, tracing, clock }),
    clock,
    abandon: shutdown.abandon,
  });

  const onUncheckedServer = () => servers.doubtRedis();
  const writer = new OutcomeWriter({ postgres, redis: redis.push, clock, onUncheckedServer });
  const publisher = (channel: Channel, outbound: { stream: string; maxLength: number }) =>
    new Publisher({
      channel,
      outbound,
      batchSize: publish.batchSize,
      leaseTtlMs: publish.leaseTtlMs,
      waitReplicas: config.redis.waitReplicas,
      operationTimeoutMs: config.redis.operationTimeoutMs,
      ladder: retry,
      catalog,
      relay: relay.channels[channel],
      writer,
      onUncheckedServer,
      postgres,
      redis: redis[channel],
      events: createPublishEvents({ channel, stream: outbound.stream, instruments, tracing, clock }),
      clock,
    });

  const isRepublished = publish.lostPublications === "republish";
  const repair = new Repair({
    servers,
    postgres: repairPostgres,
    redis: redis.repair,
    streams: { push: publish.clientEventsStream, email: publish.mailCommandsStream },
    intentStream: intents.stream,
    leaseTtlMs: publish.leaseTtlMs,
    isRepublished,
    events: createRepairEvents({ instruments, isRepublished }),
    clock,
    onProgress: () => heartbeats.beat("repair"),
    onPostgresChecked: () => consumer.findOffsetAgain(),
    onPutBack: (channel) => relay.channels[channel].wake.ring(),
  });
  const inOrder = [
    consumer,
    publisher("push", { stream: publish.clientEventsStream, maxLength: publish.clientEventsStreamMaxLen }),
    publisher("email", { stream: publish.mailCommandsStream, maxLength: 0 }),
    repair,
    new RetentionCleaner({
      recordRetentionMs: retention.recordMs,
      malformedRetentionMs: retention.malformedMs,
      intervalMs: retention.intervalMs,
      postgres,
      events: createRetentionEvents(instruments),
      clock,
    }),
  ];
  return { inOrder, repair };
}
