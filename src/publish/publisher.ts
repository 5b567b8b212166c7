/**
 * The second loop, one for each channel: due routes go to the outbound stream, each once.
 *
 * A pass takes routes, encodes them, hands them off, settles what became of each, and records it. Routes that this process
 * accepted a moment ago are taken as they are, and recorded behind the next passes; all others are claimed, by a transaction
 * that holds their rows until the outcomes are in it. Whatever dies in between, the routes are due again and their leases in
 * Redis tell which of them are published already.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { OutageError, outageOf } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { Wake } from "../lifecycle/wake.ts";
import type { Catalog } from "../notification/catalog.ts";
import { FRESH_MS, type FreshRoutes } from "../notification/fresh_routes.ts";
import type { RetryLadder } from "../notification/retry_ladder.ts";
import { type Channel, deliveryId, type DueRoute } from "../notification/route.ts";
import { describePostgresError, postgresFailure, ranPastItsTime } from "../postgres/failures.ts";
import { allAnswered, inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { RedisError } from "../redis/failures.ts";
import { redisTimeMs } from "../redis/time.ts";
import { type Events, routeFields } from "../telemetry/events.ts";
import { loggerOf } from "../telemetry/logging.ts";
import { type Claim, lockDueRoutes, MAX_PASS_BYTES, nextDueInMs, withRecords } from "./claim.ts";
import { deliveriesOf, encodingProblems, type Problems } from "./encode.ts";
import { CLAIM_LIFE_MS, handOff } from "./hand_off.ts";
import { recordSettlements } from "./record.ts";
import type { Recorder } from "./recorder.ts";
import { Scan } from "./scan.ts";
import { type Attempt, settle, type Settlement } from "./settle.ts";
import { tellSettlements } from "./tell.ts";

/** How often claims are looked for while nothing is due by a retry. */
const CLAIM_MS = 1000;
/** A claim's life is shorter by as much as Redis's time is old. */
const MAX_TIME_AGE_MS = 2000;
/** So many batches of fresh routes, or as much of payload as they may have, may wait to be recorded while the next is handed off. */
const MAX_UNRECORDED_BATCHES = 2;

export interface PublisherOptions {
  readonly channel: Channel;
  readonly outbound: { readonly stream: string; readonly maxLength: number };
  readonly batchSize: number;
  readonly leaseTtlMs: number;
  readonly waitReplicas: number;
  readonly operationTimeoutMs: number;
  readonly ladder: RetryLadder;
  readonly catalog: Catalog;
  readonly freshRoutes: FreshRoutes;
  readonly recorder: Recorder;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly events: Events;
  readonly clock: Clock;
  /** Rung when routes were accepted in this process, and when what became of fresh ones has to be looked at. */
  readonly wake: Wake;
}

/** What became of the routes of one pass. */
interface Outcome {
  readonly settlements: readonly Settlement[];
  /** Why some are unchanged, if Redis is the reason. */
  readonly outage: RedisError | undefined;
}

interface ClaimOutcome extends Outcome {
  readonly claim: Claim;
  /** Those of the settlements that changed something. */
  readonly recorded: readonly Settlement[];
}

export class Publisher implements Loop {
  readonly name: `${Channel}_publisher`;
  readonly #options: PublisherOptions;
  /** Fewer than a full batch while one route is looked for that PostgreSQL refuses to record, or while a batch takes too long. */
  #limit: number;
  /** So that a claim locks and reads no more than it takes: PostgreSQL has to unpack a payload to know its size. */
  #expectedPayloadBytes = 1;
  readonly #scan: Scan;
  /** When routes are claimed although there are fresh ones, in turn with these. */
  #claimAtMs = -Infinity;
  #lastWasFresh = false;
  /** Routes that could not be recorded, by delivery id, with the time at which they are tried again. */
  readonly #setAside = new Map<string, number>();
  /** Fresh routes that are handed off and not recorded yet: how many, and the characters of their payloads. */
  readonly #unrecorded = { routes: 0, characters: 0 };
  /** Resolves when all of them are recorded, or could not be. */
  #recording: Promise<void> = Promise.resolve();
  /** Why the last ones could not be recorded, for the next pass to say. */
  #recordingFailure: { readonly error: unknown } | undefined;
  /** After such a failure, until a claim has found PostgreSQL in order. */
  #isClaimingOnly = false;
  /** Redis's time, as asked for at the end of the last pass; `at` by this process's clock. */
  #asked: { readonly at: number; readonly time: Promise<number | undefined> } | undefined;

  constructor(options: PublisherOptions) {
    this.name = `${options.channel}_publisher`;
    this.#options = options;
    this.#limit = options.batchSize;
    this.#scan = new Scan(() => options.clock.monotonic());
  }

  async pass(): Promise<"again" | "idle"> {
    const { freshRoutes } = this.#options;
    while (this.#isFarAhead()) await this.#recording;
    this.#throwRecordingFailure();
    const isClaim = freshRoutes.isEmpty || this.#isClaimingOnly || (this.#claimInMs() === 0 && this.#lastWasFresh);
    this.#lastWasFresh = !isClaim;
    if (isClaim) return await this.#claimPass();
    await this.#freshPass();
    return freshRoutes.isEmpty ? "idle" : "again";
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.wake.wait(this.#claimInMs(), stop);
  }

  async close(): Promise<void> {
    await this.#recording;
    await this.#options.recorder.released();
    if (this.#recordingFailure === undefined) return;
    // There is no next pass to say it.
    loggerOf(this.name).warn("the outcomes of the last routes could not be recorded", {
      reason: describePostgresError(this.#recordingFailure.error),
    });
  }

  #isFarAhead(): boolean {
    const { routes, characters } = this.#unrecorded;
    return routes >= MAX_UNRECORDED_BATCHES * this.#limit || characters >= MAX_UNRECORDED_BATCHES * MAX_PASS_BYTES;
  }

  #claimInMs(): number {
    return Math.max(0, this.#claimAtMs - this.#options.clock.monotonic());
  }

  /** Routes of this process's own acceptance: nobody else may have them yet, so that they need no claim. */
  async #freshPass(): Promise<void> {
    const { channel, freshRoutes, events, outbound } = this.#options;
    const fresh = freshRoutes.take({ limit: this.#limit, maxCharacters: MAX_PASS_BYTES });
    if (fresh === undefined) return;
    const startedAt = performance.now();
    const routes = events.routesBegan(channel, fresh.routes, outbound.stream);
    // Their payloads were checked when they were accepted.
    const claim = { claimedAtMs: fresh.freshFromMs, claimLifeMs: FRESH_MS };
    const { settlements, outage } = await this.#handOff(routes, claim);
    this.#recording = bothOver(this.#recording, this.#record(settlements, startedAt));
    if (outage !== undefined) throw this.#outage(outage);
  }

  /** Behind the pass, which goes on to the next routes. */
  async #record(settlements: readonly Settlement[], startedAt: number): Promise<void> {
    const { recorder, wake } = this.#options;
    // Nobody is given up without a claim: the row's lock is what says that nobody else has published it since.
    const outcomes = settlements.filter(({ kind }) => kind !== "unchanged" && kind !== "dead_letter");
    const characters = payloadCharacters(outcomes.map(({ route }) => route));
    this.#unrecorded.routes += outcomes.length;
    this.#unrecorded.characters += characters;
    try {
      const recorded = outcomes.length === 0 ? [] : await recorder.record(outcomes);
      this.#expectRetries(recorded);
      this.#tell(recorded, startedAt);
    } catch (error) {
      // An unexpected one is the more important.
      if (this.#recordingFailure === undefined || outageOf(error) === undefined) this.#recordingFailure = { error };
      wake.ring();
    } finally {
      this.#unrecorded.routes -= outcomes.length;
      this.#unrecorded.characters -= characters;
    }
  }

  /** The loop may be waiting already, and for longer. */
  #expectRetries(recorded: readonly Settlement[]): void {
    const { clock, wake } = this.#options;
    const delays = recorded.flatMap((settlement) => settlement.kind === "failed" ? [settlement.retryInMs] : []);
    if (delays.length === 0) return;
    this.#claimAtMs = Math.min(this.#claimAtMs, clock.monotonic() + Math.min(...delays));
    wake.ring();
  }

  #throwRecordingFailure(): void {
    if (this.#recordingFailure === undefined) return;
    const { error } = this.#recordingFailure;
    this.#recordingFailure = undefined;
    if (ranPastItsTime(error)) this.#limit = Math.ceil(this.#limit / 2);
    // They are claimed in due time, where the one route at fault is found.
    if (postgresFailure(error) === "data") return;
    this.#isClaimingOnly = true;
    throw error;
  }

  async #claimPass(): Promise<"again" | "idle"> {
    const startedAt = performance.now();
    let claimed: readonly DueRoute[] = [];
    let round: ClaimOutcome;
    try {
      round = await this.#publishClaimed((routes) => claimed = routes);
      this.#isClaimingOnly = false;
    } catch (error) {
      this.#scan.startOver();
      // A batch that takes longer than its time would do so again.
      if (ranPastItsTime(error)) this.#limit = Math.ceil(this.#limit / 2);
      if (postgresFailure(error) !== "data") throw error;
      this.#narrowDown(claimed, error);
      return "again";
    }
    const { claim, settlements, outage } = round;
    const unchanged = settlements.some(({ kind }) => kind === "unchanged");
    if (unchanged && outage === undefined) {
      this.#tellOfStaleClaim(claim);
    } else {
      this.#limit = Math.min(this.#options.batchSize, this.#limit * 2);
      this.#askRedisTime();
    }
    if (unchanged) this.#scan.startOver();
    else this.#scan.goOnFrom(claim.upTo);
    this.#options.recorder.release(round.recorded);
    this.#tell(round.recorded, startedAt);
    if (outage !== undefined) throw this.#outage(outage);
    return (claim.isFull && !unchanged) || !this.#options.freshRoutes.isEmpty ? "again" : "idle";
  }

  /** @param onClaimed told of the routes before anything is done with them */
  async #publishClaimed(
    onClaimed: (routes: readonly DueRoute[]) => void,
  ): Promise<ClaimOutcome> {
    const { postgres, channel, outbound, events, clock, catalog } = this.#options;
    const claimedAtMs = await this.#redisTime();
    const lock = async (client: pg.ClientBase) => {
      const startedAt = performance.now();
      const from = this.#scan.begin();
      const locked = await lockDueRoutes(client, {
        channel,
        limit: Math.min(this.#limit, Math.ceil(MAX_PASS_BYTES / this.#expectedPayloadBytes)),
        from,
        except: this.#exceptions(),
      });
      this.#scan.took(performance.now() - startedAt, { from, isFull: locked.due.length === locked.limit });
      return locked;
    };
    return await inTransaction(postgres, async (client, locked) => {
      const found = await withRecords(client, locked);
      const claim: Claim = { ...found, routes: events.routesBegan(channel, found.routes, outbound.stream) };
      onClaimed(claim.routes);
      if (claim.routes.length > 0) this.#expectedPayloadBytes = averagePayloadBytes(claim.routes);
      const problems = encodingProblems(claim.routes, catalog);
      const { settlements, outage } = await this.#handOff(claim.routes, {
        claimedAtMs,
        claimLifeMs: CLAIM_LIFE_MS,
        problems,
      });
      // Sent in this order: a route that failed just now may be the next one due.
      const [recorded, nextInMs] = await allAnswered([
        recordSettlements(client, settlements),
        claim.isFull ? 0 : nextDueInMs(client, channel),
      ]);
      this.#claimAtMs = clock.monotonic() + Math.min(CLAIM_MS, nextInMs ?? CLAIM_MS);
      return { claim, settlements, outage, recorded };
    }, { first: lock });
  }

  async #handOff(
    routes: readonly DueRoute[],
    { problems, ...claim }: {
      readonly claimedAtMs: number;
      readonly claimLifeMs: number;
      /** Why routes of a record can't be encoded, where some can't. */
      readonly problems?: Problems;
    },
  ): Promise<Outcome> {
    const { redis, channel, outbound, leaseTtlMs, waitReplicas, operationTimeoutMs } = this.#options;
    const { answers, outage } = await handOff(redis, deliveriesOf(routes, channel, problems), {
      ...claim,
      ...outbound,
      leaseTtlMs,
      waitReplicas,
      waitMs: Math.floor(operationTimeoutMs / 2),
    });
    const settlements = routes.map((route, index) => {
      const answer = answers[index]!;
      if (answer.kind !== "absent") return this.#settle(route, answer);
      return this.#settle(route, { kind: "not_encodable", message: problems?.get(route.record) ?? "" });
    });
    return { settlements, outage };
  }

  /** To be called once the outcomes are committed. */
  #tell(recorded: readonly Settlement[], startedAt: number): void {
    const { channel, events } = this.#options;
    tellSettlements(recorded, { channel, events });
    if (recorded.length > 0) events.publishDuration(channel, performance.now() - startedAt);
  }

  /**
   * Redis's time before anything is claimed: a publisher that is paused from there on for longer than the claim's life
   * appends nothing. So that no pass waits for it, it is the time that was asked for at the end of the last one.
   */
  async #redisTime(): Promise<number> {
    const asked = this.#asked;
    this.#asked = undefined;
    const known = asked !== undefined && performance.now() - asked.at < MAX_TIME_AGE_MS ? await asked.time : undefined;
    return known ?? await redisTimeMs(this.#options.redis);
  }

  #askRedisTime(): void {
    this.#asked = { at: performance.now(), time: redisTimeMs(this.#options.redis).catch(() => undefined) };
  }

  #exceptions(): string[] {
    if (this.#setAside.size === 0) return [];
    const now = this.#options.clock.monotonic();
    for (const [id, untilMs] of this.#setAside) if (untilMs <= now) this.#setAside.delete(id);
    return [...this.#setAside.keys()];
  }

  #settle(route: DueRoute, attempt: Attempt): Settlement {
    const { channel, ladder, clock } = this.#options;
    return settle(route, attempt, { channel, ladder, random: clock.random() });
  }

  /** PostgreSQL refused the outcomes for their data: fewer at a time, until the one route at fault is alone. */
  #narrowDown(claimed: readonly DueRoute[], error: unknown): void {
    const { channel, clock, ladder } = this.#options;
    if (claimed.length > 1 || (claimed.length === 0 && this.#limit > 1)) {
      this.#limit = Math.ceil((claimed.length || this.#limit) / 2);
      return;
    }
    const route = claimed[0];
    if (route === undefined) throw error;
    this.#setAside.set(deliveryId(route), clock.monotonic() + ladder.backoffMaxMs);
    loggerOf(this.name).error("the outcome of a route can't be recorded: it is set aside", {
      ...routeFields(route, channel),
      reason: describePostgresError(error),
      retry_in_ms: ladder.backoffMaxMs,
    });
  }

  /** What claimed so many was so slow that their claim was too old for the script. */
  #tellOfStaleClaim({ routes }: Claim): void {
    this.#limit = Math.ceil(routes.length / 2);
    loggerOf(this.name).warn("a claim was too old when it reached Redis: fewer routes at a time", {
      routes: routes.length,
    });
  }

  #outage(error: RedisError): OutageError {
    // The master has moved: a new connection may find it.
    if (error.code === "READONLY") this.#options.redis.replace();
    return new OutageError("redis", error.message, { cause: error });
  }
}

/** Not `Promise.all` alone: its result would hold that of the pass before, and so those of all passes. */
async function bothOver(one: Promise<void>, other: Promise<void>): Promise<void> {
  await Promise.all([one, other]);
}

function averagePayloadBytes(routes: readonly DueRoute[]): number {
  return Math.max(1, payloadCharacters(routes) / Math.max(1, routes.length));
}

function payloadCharacters(routes: readonly DueRoute[]): number {
  return routes.reduce((sum, { record }) => sum + record.payload.length, 0);
}
