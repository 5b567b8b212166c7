/**
 * The fourth loop: what one store has lost is restored from the other. `docs/contract.md`, section 11.
 *
 * A pass: check PostgreSQL, if it was started or replaced → check Redis, if it was → one batch of an open repair. The checks come first
 * and are short, since the other loops wait for them; repairs go on beside the other loops.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { pauseAfterMs } from "../lifecycle/pacing.ts";
import { outageOf } from "../lifecycle/outage.ts";
import { describeDefect, type Loop } from "../lifecycle/run_loop.ts";
import type { Channel } from "../notification/route.ts";
import { ranPastItsTime } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { loggerOf } from "../telemetry/logging.ts";
import type { CheckedServers } from "./checked_servers.ts";
import type { RepairEvents } from "./events.ts";
import { checkPostgresServer, moveOffsetsForward } from "./postgres_check.ts";
import { putBackLost } from "./put_back.ts";
import { checkRedisServer } from "./redis_check.ts";

/** Routes looked at together: some tens of milliseconds. */
const MAX_BATCH = 5_000;
/** Of the time, for looking through routes that are not concerned. */
const SHARE = 0.5;
/** How often a repair is looked for that another process has left unfinished. */
const LOOK_MS = 10_000;

export interface RepairOptions {
  readonly servers: CheckedServers;
  /** Of this loop alone, and not kept from servers that are not checked. */
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly streams: Readonly<Record<Channel, string>>;
  readonly intentStream: string;
  readonly leaseTtlMs: number;
  readonly isRepublished: boolean;
  readonly events: RepairEvents;
  readonly clock: Clock;
  /** Called while a check goes on for long. */
  readonly onProgress: () => void;
  /** PostgreSQL was started or replaced, and is checked: the offset may be another one. */
  readonly onPostgresChecked: () => void;
  /** Routes of the channel are due that its publisher does not know of. */
  readonly onPutBack: (channel: Channel) => void;
}

export class Repair implements Loop {
  readonly name = "repair";
  readonly isBackground = true;
  readonly #options: RepairOptions;
  readonly #limit = new BatchLimit(MAX_BATCH);
  #pauseMs = 0;

  constructor(options: RepairOptions) {
    this.#options = options;
    // A server that hides its replication id is recognised by nothing else.
    options.redis.onReady(() => options.servers.doubtRedis());
  }

  async pass(): Promise<"again" | "idle"> {
    try {
      await this.check();
      return await this.#repair() ? "again" : "idle";
    } catch (error) {
      if (outageOf(error) !== undefined) throw error;
      // Unlike one of the other loops' a defect of this one ends nothing.
      loggerOf(this.name).error("a repair met an unexpected error: it is tried again", {
        reason: describeDefect(error),
      });
      return "idle";
    }
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.servers.wake.wait(LOOK_MS, stop);
  }

  /** Resolves when both servers are checked, as far as they have to be. */
  async check(): Promise<void> {
    const { servers } = this.#options;
    if (servers.isPostgresDue) await this.#checkPostgres();
    if (servers.isRedisDue) await this.#checkRedis();
  }

  async #checkPostgres(): Promise<void> {
    const { postgres, servers, streams, events, onProgress, onPostgresChecked } = this.#options;
    const outbound = (["push", "email"] as const).map((channel) => ({ channel, stream: streams[channel] }));
    const { server, rebuilt } = await checkPostgresServer({ ...this.#options, outbound, onProgress });
    for (const stream of rebuilt) events.leasesRebuilt(stream);
    // What PostgreSQL has come back with may name an earlier epoch of Redis.
    servers.doubtRedis();
    if (rebuilt.length > 0) {
      await this.#checkRedis();
      await moveOffsetsForward(postgres, rebuilt);
    }
    servers.postgresChecked(server);
    onPostgresChecked();
  }

  async #checkRedis(): Promise<void> {
    const { servers, streams, events } = this.#options;
    servers.redisCheckBegins();
    try {
      const losses = await checkRedisServer({ ...this.#options, streams: [streams.push, streams.email] });
      for (const loss of losses) events.outboundLost(loss);
    } catch (error) {
      servers.doubtRedis();
      throw error;
    }
  }

  /** Whether there may be more to do. */
  async #repair(): Promise<boolean> {
    const { postgres, streams, isRepublished, events, clock, onPutBack } = this.#options;
    await clock.sleep(this.#pauseMs);
    this.#pauseMs = 0;
    const startedAt = clock.monotonic();
    try {
      const batch = await putBackLost(postgres, { streams, limit: this.#limit.value, isRepublished });
      if (batch === undefined) return false;
      const channel = (["push", "email"] as const).find((channel) => streams[channel] === batch.stream);
      events.lookedThrough(channel, batch);
      if (batch.lost === 0) this.#pauseMs = pauseAfterMs(clock.monotonic() - startedAt, { share: SHARE });
      else if (isRepublished && channel !== undefined) onPutBack(channel);
      this.#limit.grow();
      return true;
    } catch (error) {
      if (ranPastItsTime(error)) this.#limit.halve();
      throw error;
    }
  }
}
