/**
 * The fourth loop: it restores from one store what the other has lost (docs/contract.md, section 11).
 *
 * A pass: check PostgreSQL if it was restarted or replaced → check Redis if it was → one batch of an open repair. The
 * checks come first and are short, because the other loops wait for them; repairs run beside the other loops.
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
import { loggerOf } from "../telemetry/logger.ts";
import type { CheckedServers } from "./checked_servers.ts";
import type { RepairEvents } from "./events.ts";
import { checkPostgresServer, moveOffsetsForward } from "./postgres_check.ts";
import { putBackLost } from "./put_back.ts";
import { checkRedisServer } from "./redis_check.ts";

/** Routes that one batch looks at: some tens of milliseconds. */
const MAX_BATCH = 5_000;
/** The largest share of the time for batches without a lost route. */
const SHARE = 0.5;
/** How often the loop looks for a repair that another process has left unfinished. */
const LOOK_MS = 10_000;
/** The pause after an unexpected error: a check that fails rings for its own repetition. */
const AFTER_DEFECT_MS = 1_000;

export interface RepairOptions {
  readonly servers: CheckedServers;
  /** Only for this loop; it also connects to servers that are not checked yet. */
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly streams: Readonly<Record<Channel, string>>;
  readonly intentStream: string;
  readonly leaseTtlMs: number;
  readonly isRepublished: boolean;
  readonly events: RepairEvents;
  readonly clock: Clock;
  /** Called again and again during a long check. */
  readonly onProgress: () => void;
  /** Called when PostgreSQL was restarted or replaced and is checked: the offset may have changed. */
  readonly onPostgresChecked: () => void;
  /** Called when routes of the channel were put back and are due. */
  readonly onPutBack: (channel: Channel) => void;
}

export class Repair implements Loop {
  readonly name = "repair";
  readonly isBackground = true;
  readonly #options: RepairOptions;
  readonly #limit = new BatchLimit(MAX_BATCH);
  #pauseMs = 0;
  /** The unexpected error that was logged last, until a pass succeeds. */
  #defect: string | undefined;

  constructor(options: RepairOptions) {
    this.#options = options;
    // A new connection is the only sign of a change of a server that hides its replication id.
    options.redis.onReady(() => options.servers.doubtRedis());
  }

  async pass(): Promise<"again" | "idle"> {
    try {
      await this.check();
      const mayHaveMore = await this.#repair();
      this.#defect = undefined;
      return mayHaveMore ? "again" : "idle";
    } catch (error) {
      if (outageOf(error) !== undefined) throw error;
      // Unlike in the other loops, a defect does not end the process.
      this.#reportDefect(error);
      return "idle";
    }
  }

  async idle(stop: AbortSignal): Promise<void> {
    const { clock, servers } = this.#options;
    if (this.#defect !== undefined) await clock.sleep(AFTER_DEFECT_MS, stop);
    await servers.wake.wait(LOOK_MS, stop);
  }

  /** Logs an unexpected error once, however often it is met before a pass succeeds. */
  #reportDefect(error: unknown): void {
    // Without the stack, which may differ.
    const defect = String(error);
    if (defect === this.#defect) return;
    this.#defect = defect;
    loggerOf(this.name).error("a repair met an unexpected error: it is tried again", { reason: describeDefect(error) });
  }

  /** Checks the servers that have to be checked. */
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
    // The rows with which PostgreSQL has come back may have an earlier epoch of Redis.
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
      await checkRedisServer({
        ...this.#options,
        streams: [streams.push, streams.email],
        onLoss: (loss) => events.outboundLost(loss),
      });
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
