/**
 * The second loop, one for each channel: claimed routes → the outbound stream, each once → their outcomes → PostgreSQL.
 *
 * A pass: take a batch → hand it off → settle the answers → write the outcomes, while the next passes continue.
 *
 * Two modes:
 * - *working*: batches come from the routes that this process has just accepted, and from claims of due routes; in turn
 *   if both sources have some. Due routes are claimed at least every second.
 * - *doubtful*, after any failure: each pass first tries a throwaway hand-off and then a claim. When both succeed the
 *   publisher is working again, so an outage ends only when Redis and PostgreSQL both accept writes.
 *
 * Whatever fails or dies, the routes stay claimed until their claims end, and the leases in Redis show which of them
 * are published (`relay/batch.ts`).
 */
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { RetryLadder } from "../notification/retry_ladder.ts";
import type { Channel } from "../notification/route.ts";
import { describePostgresError, ranPastItsTime } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { UNCHECKED_EPOCH } from "../redis/epoch.ts";
import type { RedisError } from "../redis/failures.ts";
import { type Batch, MAX_BATCH_CHARS } from "../relay/batch.ts";
import type { ChannelRelay } from "../relay/relay.ts";
import { loggerOf } from "../telemetry/logger.ts";
import { refusalToPublish } from "./check_hand_off.ts";
import { DueRoutes, type DueRoutesOptions } from "./due_routes.ts";
import { deliveriesOf } from "./encode.ts";
import type { PublishEvents } from "./events.ts";
import { handOff } from "./hand_off.ts";
import type { OutcomeWriter } from "./outcome_writer.ts";
import { type Outcome, settle } from "./settle.ts";
import { Unwritten } from "./unwritten.ts";
import type { Result } from "./write_outcomes.ts";

export interface PublisherOptions extends DueRoutesOptions {
  readonly channel: Channel;
  readonly outbound: { readonly stream: string; readonly maxLength: number };
  readonly leaseTtlMs: number;
  readonly waitReplicas: number;
  readonly operationTimeoutMs: number;
  readonly ladder: RetryLadder;
  readonly relay: ChannelRelay;
  readonly writer: OutcomeWriter;
  /** Called if the Redis server was not checked for losses since it was started or promoted. */
  readonly onUncheckedServer: () => void;
  readonly redis: RedisConnection;
  readonly events: PublishEvents;
  readonly clock: Clock;
}

export class Publisher implements Loop {
  readonly name: `${Channel}_publisher`;
  readonly #options: PublisherOptions;
  readonly #due: DueRoutes;
  readonly #unwritten: Unwritten;
  /** Routes in a batch. Fewer while batches come too late for their claims, or take PostgreSQL too long. */
  readonly #limit: BatchLimit;
  #isDoubtful = false;
  /** Routes that were just accepted come first. */
  #lastWasClaim = true;

  constructor(options: PublisherOptions) {
    this.name = `${options.channel}_publisher`;
    this.#options = options;
    this.#due = new DueRoutes(options);
    this.#unwritten = new Unwritten(() => options.writer.hurry());
    this.#limit = new BatchLimit(options.batchSize);
  }

  async pass(): Promise<"again" | "idle"> {
    try {
      return await this.#pass();
    } catch (error) {
      this.#isDoubtful = true;
      this.#due.dropAhead();
      if (ranPastItsTime(error)) this.#limit.halve();
      throw error;
    }
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.relay.wake.wait(this.#due.inMs, stop);
  }

  async close(): Promise<void> {
    await this.#due.settled();
    await this.#unwritten.drained();
    await this.#options.writer.leasesShortened();
    try {
      this.#unwritten.throwFailure();
    } catch (error) {
      // No later pass would report it.
      const reason = describePostgresError(error);
      loggerOf(this.name).warn("the outcomes of the last routes could not be written", { reason });
    }
  }

  async #pass(): Promise<"again" | "idle"> {
    const { clock, relay: { accepted } } = this.#options;
    await this.#unwritten.room(this.#limit.value);
    const startedAt = clock.monotonic();
    const batch = await this.#take();
    if (batch !== undefined) await this.#publish(batch, startedAt);
    return accepted.isEmpty && this.#due.inMs > 0 ? "idle" : "again";
  }

  async #take(): Promise<Batch | undefined> {
    const { redis, relay: { accepted } } = this.#options;
    if (this.#isDoubtful) this.#throwOutage(await refusalToPublish(redis, this.#replicas));
    const isClaim = this.#isDoubtful || accepted.isEmpty || (this.#due.inMs === 0 && !this.#lastWasClaim);
    this.#lastWasClaim = isClaim;
    if (!isClaim) return accepted.take({ limit: this.#limit.value, maxChars: MAX_BATCH_CHARS });
    const batch = await this.#due.take(this.#limit.value);
    this.#isDoubtful = false;
    return batch;
  }

  async #publish(batch: Batch, startedAt: number): Promise<void> {
    const { redis, channel, outbound, leaseTtlMs, events } = this.#options;
    const routes = events.withSpans(batch.routes);
    const options = { ...outbound, ...this.#replicas, leaseTtlMs, claim: batch };
    const { answers, outage } = await handOff(redis, deliveriesOf(routes, channel), options);
    const outcomes = this.#settle(routes, answers);
    const results = outcomes.filter((outcome): outcome is Result => outcome.kind !== "unchanged");
    if (results.length > 0) this.#unwritten.add(results, this.#write(results, startedAt));
    this.#noteUnchanged(outcomes);
    this.#throwOutage(outage);
  }

  #settle(routes: Batch["routes"], answers: Awaited<ReturnType<typeof handOff>>["answers"]): Outcome[] {
    const { channel, ladder, clock } = this.#options;
    const nowMs = clock.now();
    return routes.map((route, at) => settle(route, answers[at]!, { channel, ladder, random: clock.random(), nowMs }));
  }

  /** Runs while the next passes continue. */
  async #write(results: readonly Result[], startedAt: number): Promise<void> {
    const { writer, events, clock, relay: { wake } } = this.#options;
    try {
      const { written, refused } = await writer.write(results);
      events.written(written);
      for (const [result, error] of refused) events.outcomeRefused(result, error);
      if (written.length > 0) events.publishDuration(clock.monotonic() - startedAt);
      const retries = written.flatMap((result) => result.kind === "failed" ? [result.retryInMs] : []);
      if (retries.length === 0) return;
      // The loop may already be waiting, and for longer.
      this.#due.expect(Math.min(...retries));
      wake.ring();
    } catch (error) {
      wake.ring();
      throw error;
    }
  }

  #noteUnchanged(outcomes: readonly Outcome[]): void {
    const { events } = this.#options;
    const unchanged = outcomes.filter((outcome) => outcome.kind === "unchanged");
    const late = unchanged.filter(({ reason }) => reason === "late");
    if (late.length === 0) {
      this.#limit.grow();
    } else {
      this.#limit.halve(outcomes.length);
      events.late(late.length);
    }
    events.leftToOthers(unchanged.filter(({ reason }) => reason === "unknown_type").map(({ route }) => route));
  }

  get #replicas() {
    const { waitReplicas, operationTimeoutMs } = this.#options;
    return { waitReplicas, waitMs: Math.floor(operationTimeoutMs / 2) };
  }

  #throwOutage(error: RedisError | undefined): void {
    if (error === undefined) return;
    // The master has moved: a new connection may find it.
    if (error.code === "READONLY") this.#options.redis.replace();
    if (error.code === UNCHECKED_EPOCH) this.#options.onUncheckedServer();
    throw new OutageError("redis", error.message, { cause: error });
  }
}
